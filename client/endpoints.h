#pragma once

// The connections to the nodes: one or more gRPC channels per endpoint, made when first used, kept,
// and taken in turn. A connection that breaks is made anew by gRPC at the next request; the pause
// before that is short (0.1 s, 0.5 s at most), so that a node is found again as soon as it is back.
//
// Thread-safe.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include <grpcpp/channel.h>

#include "client/options.h"
#include "client/rotation.h"
#include "starling/v1/admin.grpc.pb.h"
#include "starling/v1/kv.grpc.pb.h"

namespace starling::client {

// OK, or invalid_argument that names the option.
absl::Status check_options(const ClientOptions& options);

class Endpoints {
  public:
    struct Connection {
        size_t endpoint = 0;
        const std::string* address = nullptr;
        v1::KV::Stub* kv = nullptr;
        v1::Admin::Stub* admin = nullptr;
    };

    // REQUIRES: check_options() is OK.
    Endpoints(const ClientOptions& options, const env::Clock& clock);

    size_t count() const { return endpoints_.size(); }

    // Where the next try goes; `previous`: where the last one went.
    Connection pick(std::optional<size_t> previous);
    void failed(size_t endpoint);
    void worked(size_t endpoint);

  private:
    struct Stubs {
        std::unique_ptr<v1::KV::Stub> kv;
        std::unique_ptr<v1::Admin::Stub> admin;
    };
    struct Endpoint {
        std::string address;
        std::vector<Stubs> connections;
        std::atomic<uint32_t> turn{0};
    };

    const env::Clock& clock_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_;
    absl::Mutex mutex_;
    Rotation rotation_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::client
