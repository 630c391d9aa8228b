#pragma once

// The client library: keys and values of a Starling cluster.
//
//     env::PosixClock clock; env::PosixWallClock wall_clock; env::PosixRandom random;
//     auto client = client::Client::make({.endpoints = {"127.0.0.1:4000", "127.0.0.1:4001"}},
//                                        {clock, wall_clock, random});
//     absl::StatusOr<v1::GetResponse> cart = (*client)->get("cart/42");
//     (*client)->put("cart/42", value, {.context = cart->context()});
//
// Any node takes any request. A request that fails for a passing reason is tried again within its
// deadline, through the other nodes in turn; a write carries one request id through all its tries,
// so it is applied once. The first request after a node's restart succeeds.
//
// An error's code says what to do (base/error.h), base::reason_of() which error it is, and
// outcome_unknown() (client/error.h) whether a write may exist all the same.
//
// Thread-safe. Callbacks run on gRPC's threads and must not block; a blocking call must not be made
// from one.

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "client/batch.h"
#include "client/options.h"
#include "client/session_marks.h"
#include "starling/v1/kv.pb.h"

namespace starling::client {

struct Core;

class Client {
  public:
    using WriteCallback = absl::AnyInvocable<void(absl::StatusOr<v1::WriteResponse>)>;
    using GetCallback = absl::AnyInvocable<void(absl::StatusOr<v1::GetResponse>)>;

    // invalid_argument names the option. Connects when the first request is made.
    static absl::StatusOr<std::unique_ptr<Client>> make(ClientOptions options,
                                                        const ClientEnvironment& environment);
    // Cancels what is under way and waits for its callbacks. Not from a callback.
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void put(std::string key, std::string value, const WriteOptions& options, WriteCallback done);
    // The write of a tombstone; deleting an absent key is no error.
    void del(std::string key, const WriteOptions& options, WriteCallback done);
    // An absent key is no error: no values, and a context for the write that follows.
    void get(std::string key, const RequestOptions& options, GetCallback done);

    absl::StatusOr<v1::WriteResponse> put(std::string key,
                                          std::string value,
                                          const WriteOptions& options = {});
    absl::StatusOr<v1::WriteResponse> del(std::string key, const WriteOptions& options = {});
    absl::StatusOr<v1::GetResponse> get(std::string key, const RequestOptions& options = {});

    // With ClientOptions::read_your_writes: what this client has seen, to be handed to another one,
    // or to this program's next life.
    std::vector<SessionMark> session() const;
    void resume(const std::vector<SessionMark>& session);
    // How often the session had to forget something: see ClientOptions::session_keys_max.
    uint64_t session_forgotten() const;

    // For many operations at once. invalid_argument names the option. Must end before this client.
    absl::StatusOr<std::unique_ptr<Batch>> batch(const BatchOptions& options,
                                                 Batch::OnAnswer on_answer);

  private:
    explicit Client(std::unique_ptr<Core> core);

    const std::unique_ptr<Core> core_;
};

}  // namespace starling::client
