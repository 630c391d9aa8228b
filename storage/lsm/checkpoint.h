#pragma once

// A copy of the database in another directory of the same file system: tables, which never change,
// by hard links; the log, as far as it is durable, by bytes; a manifest and a marker of its own.

#include <string>

#include "absl/status/status.h"

#include "env/file_system.h"
#include "storage/log/log.h"
#include "storage/lsm/catalog.h"

namespace starling::storage::lsm {

// Holds what was durable before. Durable once OK. Errors, and what they leave, as
// build_directory(). No file of `from` is removed meanwhile.
absl::Status make_checkpoint(env::FileSystem& files,
                             const std::string& from,
                             const std::string& to,
                             Catalog& catalog,
                             const Log& log);

}  // namespace starling::storage::lsm
