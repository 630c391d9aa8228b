#include "client/endpoints.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace starling::client {

namespace {

constexpr uint32_t connections_max = 4;
constexpr size_t endpoints_max = 1024;

std::shared_ptr<grpc::Channel> make_channel(const std::string& address, size_t message_bytes_max) {
    grpc::ChannelArguments arguments;
    // Each channel has a connection of its own, also where two clients share a process.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    // This one is also how long gRPC waits for a connection to be made.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
    // Retries are RetryCore's, which knows what may be repeated.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Notices a peer that vanished without a word while requests wait for it.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
    arguments.SetMaxReceiveMessageSize(static_cast<int>(message_bytes_max));
    return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

absl::Status check_options(const ClientOptions& options) {
    if (options.endpoints.empty() || options.endpoints.size() > endpoints_max) {
        return absl::InvalidArgumentError(
            fmt::format("endpoints: 1 to {} addresses are needed", endpoints_max));
    }
    for (const std::string& address : options.endpoints) {
        const size_t colon = address.rfind(':');
        if (colon == std::string::npos || colon == 0 || colon + 1 == address.size() ||
            address.find_first_not_of("0123456789", colon + 1) != std::string::npos ||
            address.find('/') != std::string::npos) {
            return absl::InvalidArgumentError(
                fmt::format("endpoints: '{}' is no address HOST:PORT", address));
        }
    }
    if (options.connections_per_endpoint < 1 ||
        options.connections_per_endpoint > connections_max) {
        return absl::InvalidArgumentError(
            fmt::format("connections_per_endpoint: 1 to {}", connections_max));
    }
    if (options.deadline <= base::Duration::zero() ||
        options.retry.try_timeout <= base::Duration::zero() ||
        options.retry.backoff_first <= base::Duration::zero() ||
        options.retry.backoff_max < options.retry.backoff_first) {
        return absl::InvalidArgumentError("deadline, try_timeout, backoff: must be above 0");
    }
    if (options.message_bytes_max < 1024 || options.message_bytes_max > (1u << 30)) {
        return absl::InvalidArgumentError("message_bytes_max: 1 KiB to 1 GiB");
    }
    if (options.requests_max == 0) {
        return absl::InvalidArgumentError("requests_max: must be above 0");
    }
    return absl::OkStatus();
}

Endpoints::Endpoints(const ClientOptions& options, const env::Clock& clock)
    : clock_(clock), rotation_(options.endpoints.size()) {
    for (const std::string& address : options.endpoints) {
        auto endpoint = std::make_unique<Endpoint>();
        endpoint->address = address;
        for (uint32_t i = 0; i < options.connections_per_endpoint; ++i) {
            const auto channel = make_channel(address, options.message_bytes_max);
            endpoint->connections.push_back(
                {.kv = v1::KV::NewStub(channel), .admin = v1::Admin::NewStub(channel)});
        }
        endpoints_.push_back(std::move(endpoint));
    }
}

Endpoints::Connection Endpoints::pick(std::optional<size_t> previous) {
    size_t index = 0;
    {
        absl::MutexLock lock(&mutex_);
        index = rotation_.pick(previous, clock_.now());
    }
    Endpoint& endpoint = *endpoints_[index];
    const uint32_t turn = endpoint.turn.fetch_add(1, std::memory_order_relaxed);
    const Stubs& stubs = endpoint.connections[turn % endpoint.connections.size()];
    return {.endpoint = index,
            .address = &endpoint.address,
            .kv = stubs.kv.get(),
            .admin = stubs.admin.get()};
}

void Endpoints::failed(size_t endpoint) {
    absl::MutexLock lock(&mutex_);
    rotation_.failed(endpoint, clock_.now());
}

void Endpoints::worked(size_t endpoint) {
    absl::MutexLock lock(&mutex_);
    rotation_.worked(endpoint);
}

}  // namespace starling::client
