#include "client/admin_client.h"

#include <utility>

#include "base/status_macros.h"
#include "client/blocking.h"
#include "client/core.h"
#include "client/unary_request.h"

namespace starling::client {

namespace {

template <typename Request, typename Response>
absl::StatusOr<Response> ask(Core& core,
                             Repeat repeat,
                             Request request,
                             typename UnaryRequest<Request, Response>::Method method) {
    using Running = UnaryRequest<Request, Response>;
    return wait_for<Response>([&](Callback<Response> done) {
        const typename Running::Parameters parameters{
            .method = method, .repeat = repeat, .deadline = core.options.deadline};
        std::make_shared<Running>(core, parameters, std::move(request), std::move(done))->start();
    });
}

}  // namespace

AdminClient::AdminClient(std::unique_ptr<Core> core) : core_(std::move(core)) {}

AdminClient::~AdminClient() {
    core_->in_flight.stop();
}

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::make(
    ClientOptions options, const ClientEnvironment& environment) {
    STARLING_RETURN_IF_ERROR(check_options(options));
    return std::unique_ptr<AdminClient>(
        new AdminClient(std::make_unique<Core>(std::move(options), environment)));
}

absl::StatusOr<v1::PingResponse> AdminClient::ping() {
    return ask<v1::PingRequest, v1::PingResponse>(
        *core_, Repeat::harmless, {}, [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->Ping(call, in, out, std::move(end));
        });
}

absl::StatusOr<v1::StatusResponse> AdminClient::status() {
    return ask<v1::StatusRequest, v1::StatusResponse>(
        *core_, Repeat::harmless, {}, [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->Status(call, in, out, std::move(end));
        });
}

absl::StatusOr<v1::RingResponse> AdminClient::ring() {
    return ask<v1::RingRequest, v1::RingResponse>(
        *core_, Repeat::harmless, {}, [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->Ring(call, in, out, std::move(end));
        });
}

absl::StatusOr<v1::JoinResponse> AdminClient::join(const std::string& known_address) {
    v1::JoinRequest request;
    request.set_known_address(known_address);
    return ask<v1::JoinRequest, v1::JoinResponse>(
        *core_,
        Repeat::another_action,
        std::move(request),
        [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->Join(call, in, out, std::move(end));
        });
}

absl::StatusOr<v1::Namespace> AdminClient::create_namespace(const v1::Namespace& wanted) {
    v1::CreateNamespaceRequest request;
    *request.mutable_namespace_() = wanted;
    STARLING_ASSIGN_OR_RETURN(v1::CreateNamespaceResponse response,
                              (ask<v1::CreateNamespaceRequest, v1::CreateNamespaceResponse>(
                                  *core_,
                                  Repeat::another_action,
                                  std::move(request),
                                  [](auto& to, auto* call, auto* in, auto* out, auto end) {
                                      to.admin->async()->CreateNamespace(
                                          call, in, out, std::move(end));
                                  })));
    return std::move(*response.mutable_namespace_());
}

absl::StatusOr<v1::ListNamespacesResponse> AdminClient::list_namespaces() {
    return ask<v1::ListNamespacesRequest, v1::ListNamespacesResponse>(
        *core_, Repeat::harmless, {}, [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->ListNamespaces(call, in, out, std::move(end));
        });
}

absl::StatusOr<v1::InspectReplicaResponse> AdminClient::inspect_replica(
    const v1::InspectReplicaRequest& question) {
    return ask<v1::InspectReplicaRequest, v1::InspectReplicaResponse>(
        *core_,
        Repeat::harmless,
        question,
        [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->InspectReplica(call, in, out, std::move(end));
        });
}

absl::StatusOr<v1::ListConflictsResponse> AdminClient::list_conflicts(
    const v1::ListConflictsRequest& from) {
    return ask<v1::ListConflictsRequest, v1::ListConflictsResponse>(
        *core_, Repeat::harmless, from, [](auto& to, auto* call, auto* in, auto* out, auto end) {
            to.admin->async()->ListConflicts(call, in, out, std::move(end));
        });
}

}  // namespace starling::client
