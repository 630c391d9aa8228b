#pragma once

// What `dev` does with the nodes of its folder: start and end them, and wait for what follows.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/cli/dev_folder.h"
#include "client/cli/session.h"
#include "env/posix/file_system.h"

namespace starling::client {

class DevNodes {
  public:
    // `cluster`, `session`: must outlive this.
    DevNodes(const DevCluster& cluster, Session& session) : cluster_(cluster), session_(session) {}

    bool runs(uint32_t node);
    // 0: does not run.
    int64_t pid(uint32_t node);
    // unavailable: it ended; its last words are in the message.
    absl::Status start(uint32_t node, const std::string& starlingd);
    absl::Status wait_until_serving(uint32_t node, base::Duration timeout);
    // Node 1's cluster gets what runs alone.
    absl::Status join(uint32_t node);
    // Until each running node sees all others alive, and each partition has its copies.
    absl::Status wait_until_placed(base::Duration timeout);

    absl::Status signal(uint32_t node, int signal);
    // False: it still runs.
    bool wait_until_ended(uint32_t node, base::Duration timeout);

  private:
    absl::StatusOr<v1::StatusResponse> status(uint32_t node);
    // Empty: all is placed; else what is missing.
    std::string missing();

    const DevCluster& cluster_;
    Session& session_;
    env::PosixFileSystem files_;
};

}  // namespace starling::client
