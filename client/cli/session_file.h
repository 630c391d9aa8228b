#pragma once

// A session between invocations of the command line, in a file: a line per key, its namespace, key
// and token in hexadecimal, the one used last at the end. Commands at once may share it: none takes
// away what another one has seen, for each saves what the file has by then together with what it
// has seen itself. They take turns at a lock beside the file, since the file is replaced.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/time.h"
#include "client/client.h"
#include "env/file_system.h"

namespace starling::client {

// For one command: load() once, then save() once.
class SessionFile {
  public:
    SessionFile(env::FileSystem& files,
                std::string path,
                base::Duration lock_wait = std::chrono::seconds(10))
        : files_(files), path_(std::move(path)), lock_wait_(lock_wait) {}

    // A file that does not exist is a new session. invalid_argument names the line that is none.
    absl::Status load(Client& client);
    // unavailable: others held the lock all the time.
    absl::Status save(const Client& client);
    // After save(): there was no room for all that was seen, so that reads of some key may be older
    // than what was seen of it before.
    bool has_forgotten() const { return has_forgotten_; }

  private:
    using Name = std::pair<std::string, std::string>;

    absl::StatusOr<std::vector<SessionMark>> read() const;
    absl::StatusOr<std::unique_ptr<env::FileLock>> lock() const;
    // What `stored` and this command have seen.
    std::vector<SessionMark> unite(std::vector<SessionMark> stored, std::vector<SessionMark> seen);

    env::FileSystem& files_;
    const std::string path_;
    const base::Duration lock_wait_;
    // Tokens, as load() found them.
    std::map<Name, std::string> loaded_;
    bool has_forgotten_ = false;
};

}  // namespace starling::client
