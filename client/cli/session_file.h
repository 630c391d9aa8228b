#pragma once

// A session between invocations of the command line, in a file: a line per key, its namespace, key
// and token in hexadecimal.

#include <string>

#include "absl/status/status.h"

#include "client/client.h"
#include "env/file_system.h"

namespace starling::client {

// A file that does not exist is a new session. invalid_argument names the line that is none.
absl::Status load_session(env::FileSystem& files, const std::string& path, Client& client);
absl::Status save_session(env::FileSystem& files, const std::string& path, const Client& client);

}  // namespace starling::client
