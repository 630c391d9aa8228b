#include "node/doors/grpc_door.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <thread>
#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "node/doors/admin_door.h"
#include "node/doors/call_context.h"
#include "node/doors/kv_door.h"

namespace starling::node {

namespace {

using ConnectionAcceptor = grpc::experimental::ExternalConnectionAcceptor;

// How often drain() looks whether anything is left.
constexpr std::chrono::milliseconds drain_step(2);

int to_ms(base::Duration duration) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    return static_cast<int>(std::clamp<int64_t>(ms, 1, INT_MAX));
}

int to_int(size_t bytes) {
    return static_cast<int>(std::min<size_t>(bytes, INT_MAX));
}

// Process-wide switches of gRPC, to be set before the first server is built.
void enable_health_and_reflection() {
    static const bool once = [] {
        grpc::EnableDefaultHealthCheckService(true);
        grpc::reflection::InitProtoReflectionServerBuilderPlugin();
        return true;
    }();
    static_cast<void>(once);
}

void set_limits(grpc::ServerBuilder& builder, const GrpcDoorOptions& options) {
    const size_t message_bytes_max = options.requests.key_bytes_max +
                                     options.requests.value_bytes_max + options.message_slack_bytes;
    builder.SetMaxReceiveMessageSize(to_int(message_bytes_max));
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.streams_per_connection_max);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, options.metadata_bytes_max);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                               to_ms(options.handshake_timeout));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, to_ms(options.connection_idle_max));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, to_ms(options.keepalive_interval));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, to_ms(options.keepalive_timeout));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               to_ms(options.client_ping_interval_min));
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
    grpc::ResourceQuota quota("starling");
    quota.Resize(options.grpc_memory_bytes_max);
    builder.SetResourceQuota(quota);
    // Reflection is the only service that takes threads; two are plenty.
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
}

}  // namespace

class GrpcDoor::Impl {
  public:
    Impl(GrpcDoorOptions options, Parts parts)
        : options_(options),
          listener_(parts.listener),
          admission_({.requests_max = options.requests_in_flight_max,
                      .bytes_max = options.bytes_in_flight_max}),
          context_{.kv = parts.kv,
                   .admin = parts.admin,
                   .request_ids = parts.request_ids,
                   .metrics = parts.metrics,
                   .admission = admission_,
                   .options = options_,
                   .node = parts.node,
                   .version = std::move(parts.version),
                   .is_ready = std::move(parts.is_ready)},
          kv_(context_, streams_),
          admin_(context_) {}

    absl::Status start() {
        enable_health_and_reflection();
        grpc::ServerBuilder builder;
        set_limits(builder, options_);
        builder.RegisterService(&kv_);
        builder.RegisterService(&admin_);
        acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
            grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
            grpc::InsecureServerCredentials());
        server_ = builder.BuildAndStart();
        if (server_ == nullptr) {
            return absl::InternalError("gRPC did not start a server");
        }
        server_->GetHealthCheckService()->SetServingStatus(true);
        listener_.start([this](int fd) {
            ConnectionAcceptor::NewConnectionParameters connection;
            connection.fd = fd;
            acceptor_->HandleNewConnection(&connection);
        });
        return absl::OkStatus();
    }

    bool drain(base::Duration patience) {
        const SteadyTime end = std::chrono::steady_clock::now() + patience;
        listener_.stop();
        context_.is_stopping.store(true, std::memory_order_release);
        server_->GetHealthCheckService()->SetServingStatus(false);
        streams_.stop_all();
        while (!is_idle()) {
            if (std::chrono::steady_clock::now() >= end) {
                return false;
            }
            std::this_thread::sleep_for(drain_step);
        }
        return true;
    }

    void shutdown() {
        if (server_ == nullptr) {
            return;
        }
        drain(base::Duration::zero());
        server_->GetHealthCheckService()->Shutdown();
        server_->Shutdown(std::chrono::system_clock::now());
        server_->Wait();
        server_.reset();
    }

    const Admission& admission() const { return admission_; }

  private:
    bool is_idle() const {
        return admission_.requests() == 0 &&
               context_.metrics.batch_streams.load(std::memory_order_relaxed) == 0;
    }

    const GrpcDoorOptions options_;
    Listener& listener_;
    Admission admission_;
    CallContext context_;
    BatchStreams streams_;
    KvDoor kv_;
    AdminDoor admin_;
    std::unique_ptr<ConnectionAcceptor> acceptor_;
    std::unique_ptr<grpc::Server> server_;
};

GrpcDoor::GrpcDoor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcDoor::~GrpcDoor() {
    shutdown();
}

absl::StatusOr<std::unique_ptr<GrpcDoor>> GrpcDoor::start(GrpcDoorOptions options, Parts parts) {
    std::unique_ptr<GrpcDoor> door(new GrpcDoor(std::make_unique<Impl>(options, std::move(parts))));
    absl::Status status = door->impl_->start();
    if (!status.ok()) {
        return status;
    }
    return door;
}

bool GrpcDoor::drain(base::Duration patience) {
    return impl_->drain(patience);
}

void GrpcDoor::shutdown() {
    impl_->shutdown();
}

const Admission& GrpcDoor::admission() const {
    return impl_->admission();
}

}  // namespace starling::node
