#pragma once

// How a command reaches nodes: which addresses, and clients for them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/admin_client.h"
#include "client/cli/arguments.h"
#include "client/cli/session_file.h"
#include "client/cli/terminal.h"
#include "client/client.h"
#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/random.h"

namespace starling::client {

inline constexpr std::string_view default_address = "127.0.0.1:4000";

class Session {
  public:
    Session(Terminal& terminal, const Arguments& arguments)
        : terminal_(terminal), arguments_(arguments) {}

    // --addr, -p; else those of the folder's dev cluster; else the default. An error names the
    // description of a dev cluster that is there and cannot be used.
    absl::StatusOr<std::vector<std::string>> addresses();

    // With --session it goes on with that file's session.
    absl::StatusOr<std::unique_ptr<Client>> client();
    // Keeps for the next command where the session of `client` has got to. Comes after all that the
    // command has to say, with its exit code; returns that, or that the session was not saved.
    int keep(const Client& client, int code);
    absl::StatusOr<std::unique_ptr<AdminClient>> admin();
    // For one node, which may be down: a request to it has so many tries, each with its time.
    absl::StatusOr<std::unique_ptr<AdminClient>> admin_of(const std::string& address,
                                                          base::Duration try_timeout,
                                                          uint32_t tries_max);

    const env::Clock& clock() const { return clock_; }
    const env::WallClock& wall_clock() const { return wall_clock_; }
    env::Random& random() { return random_; }

  private:
    absl::StatusOr<ClientOptions> options();
    ClientEnvironment environment() { return {clock_, wall_clock_, random_}; }

    Terminal& terminal_;
    const Arguments& arguments_;
    env::PosixClock clock_;
    env::PosixWallClock wall_clock_;
    env::PosixRandom random_;
    env::PosixFileSystem files_;
    // With --session, once there is a client.
    std::optional<SessionFile> session_file_;
};

}  // namespace starling::client
