#include "node/doors/admin_door.h"

#include <utility>

#include "base/status_macros.h"
#include "node/doors/address.h"
#include "node/doors/convert.h"
#include "node/doors/unary_call.h"

namespace starling::node {

namespace {

// The node's callback for a call: `format` writes an OK result into the response.
template <typename Response, typename Format>
auto answer(UnaryCall* call, Response* response, Format format) {
    return [handle = CallHandle(call), response, format = std::move(format)](auto result) mutable {
        UnaryCall* finished = handle.release();
        if (!result.ok()) {
            finished->fail(result.status());
            return;
        }
        format(*response, *result);
        finished->succeed(response->ByteSizeLong());
    };
}

absl::Status check_join(UnaryCall& call, const std::string& known_address) {
    STARLING_RETURN_IF_ERROR(parse_address(known_address).status());
    return call.admit(known_address.size());
}

}  // namespace

grpc::ServerUnaryReactor* AdminDoor::Ping(grpc::CallbackServerContext* call,
                                          const v1::PingRequest* /*request*/,
                                          v1::PingResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::ping);
    response->set_message("PONG");
    response->set_node_id(context_.node.raw());
    response->set_version(context_.version);
    response->set_is_ready(context_.is_ready() &&
                           !context_.is_stopping.load(std::memory_order_acquire));
    reactor->succeed();
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::Join(grpc::CallbackServerContext* call,
                                          const v1::JoinRequest* request,
                                          v1::JoinResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::join);
    if (absl::Status status = check_join(*reactor, request->known_address()); !status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.join(request->known_address(),
                        answer(reactor, response, [](auto& out, const auto& joined) {
                            out.set_cluster_id(joined.cluster.raw());
                            out.set_member_count(joined.member_count);
                        }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::Status(grpc::CallbackServerContext* call,
                                            const v1::StatusRequest* /*request*/,
                                            v1::StatusResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::status);
    if (absl::Status status = reactor->admit(0); !status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.status(
        answer(reactor, response, [](auto& out, const auto& report) { fill(out, report); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::Ring(grpc::CallbackServerContext* call,
                                          const v1::RingRequest* /*request*/,
                                          v1::RingResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::ring);
    if (absl::Status status = reactor->admit(0); !status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.ring(answer(
        reactor, response, [](auto& out, const auto& partitions) { fill(out, partitions); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::CreateNamespace(grpc::CallbackServerContext* call,
                                                     const v1::CreateNamespaceRequest* request,
                                                     v1::CreateNamespaceResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::create_namespace);
    auto info = to_namespace(request->namespace_(), context_.options.requests);
    absl::Status status = info.ok() ? reactor->admit(info->name.size()) : info.status();
    if (!status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.create_namespace(*std::move(info),
                                    answer(reactor, response, [](auto& out, const auto& created) {
                                        fill(*out.mutable_namespace_(), created);
                                    }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::ListNamespaces(grpc::CallbackServerContext* call,
                                                    const v1::ListNamespacesRequest* /*request*/,
                                                    v1::ListNamespacesResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::list_namespaces);
    if (absl::Status status = reactor->admit(0); !status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.list_namespaces(answer(reactor, response, [](auto& out, const auto& namespaces) {
        for (const NamespaceInfo& info : namespaces) {
            fill(*out.add_namespaces(), info);
        }
    }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::InspectReplica(grpc::CallbackServerContext* call,
                                                    const v1::InspectReplicaRequest* request,
                                                    v1::InspectReplicaResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::inspect_replica);
    const size_t bytes = request->ByteSizeLong();
    auto question = take_inspect(take_message(request));
    absl::Status status = question.ok() ? reactor->admit(bytes) : question.status();
    if (!status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.inspect_replica(
        *std::move(question),
        answer(reactor, response, [](auto& out, auto& result) { fill(out, std::move(result)); }));
    return reactor;
}

grpc::ServerUnaryReactor* AdminDoor::ListConflicts(grpc::CallbackServerContext* call,
                                                   const v1::ListConflictsRequest* request,
                                                   v1::ListConflictsResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::list_conflicts);
    auto query = to_conflict_query(*request, context_.options.requests);
    absl::Status status = query.ok() ? reactor->admit(query->from.key.size()) : query.status();
    if (!status.ok()) {
        reactor->fail(status);
        return reactor;
    }
    context_.admin.list_conflicts(
        *std::move(query),
        answer(reactor, response, [](auto& out, auto& page) { fill(out, std::move(page)); }));
    return reactor;
}

}  // namespace starling::node
