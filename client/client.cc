#include "client/client.h"

#include <utility>

#include "base/status_macros.h"
#include "client/blocking.h"
#include "client/core.h"
#include "client/kv_requests.h"

namespace starling::client {

Client::Client(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Client::~Client() {
    core_->in_flight.stop();
}

absl::StatusOr<std::unique_ptr<Client>> Client::make(ClientOptions options,
                                                     const ClientEnvironment& environment) {
    STARLING_RETURN_IF_ERROR(check_options(options));
    return std::unique_ptr<Client>(
        new Client(std::make_unique<Core>(std::move(options), environment)));
}

void Client::put(std::string key,
                 std::string value,
                 const WriteOptions& options,
                 WriteCallback done) {
    start_put(*core_,
              make_put(*core_, std::move(key), std::move(value), options),
              {.deadline = options.request.deadline},
              std::move(done));
}

void Client::del(std::string key, const WriteOptions& options, WriteCallback done) {
    start_delete(*core_,
                 make_delete(*core_, std::move(key), options),
                 {.deadline = options.request.deadline},
                 std::move(done));
}

void Client::get(std::string key, const RequestOptions& options, GetCallback done) {
    start_get(
        *core_, make_get(std::move(key), options), {.deadline = options.deadline}, std::move(done));
}

absl::StatusOr<v1::WriteResponse> Client::put(std::string key,
                                              std::string value,
                                              const WriteOptions& options) {
    return wait_for<v1::WriteResponse>([&](WriteCallback done) {
        put(std::move(key), std::move(value), options, std::move(done));
    });
}

absl::StatusOr<v1::WriteResponse> Client::del(std::string key, const WriteOptions& options) {
    return wait_for<v1::WriteResponse>(
        [&](WriteCallback done) { del(std::move(key), options, std::move(done)); });
}

absl::StatusOr<v1::GetResponse> Client::get(std::string key, const RequestOptions& options) {
    return wait_for<v1::GetResponse>(
        [&](GetCallback done) { get(std::move(key), options, std::move(done)); });
}

std::vector<SessionMark> Client::session() const {
    return core_->session.all();
}

void Client::resume(const std::vector<SessionMark>& session) {
    for (const SessionMark& mark : session) {
        core_->session.learn(mark.name_space, mark.key, 0, mark.token);
    }
}

uint64_t Client::session_forgotten() const {
    return core_->session.forgotten();
}

absl::StatusOr<std::unique_ptr<Batch>> Client::batch(const BatchOptions& options,
                                                     Batch::OnAnswer on_answer) {
    STARLING_RETURN_IF_ERROR(check_options(options));
    return std::make_unique<Batch>(*core_, options, std::move(on_answer));
}

}  // namespace starling::client
