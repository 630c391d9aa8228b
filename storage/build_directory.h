#pragma once

// Makes a directory that is there whole or not at all, whatever fails or dies meanwhile: it is
// built as `<directory>.partial` and renamed. What an earlier try left there is removed by the next
// one.

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

#include "env/file_system.h"

namespace starling::storage {

// `fill` gets the path of an empty directory and makes everything in it durable. The result is
// durable when OK. After an error there is no `directory`; but where undoing the rename fails too,
// it is there and whole, and may be gone after a power loss.
//
// already_exists: `directory` is there. failed_precondition: somebody else is building it, or
// `<directory>.partial` holds what is no engine's: nothing of that is removed.
absl::Status build_directory(env::FileSystem& files,
                             const std::string& directory,
                             absl::FunctionRef<absl::Status(const std::string&)> fill);

// Its parts, for who has another way to fill the directory and to keep others away.

// already_exists, with its name.
absl::Status check_absent(env::FileSystem& files, const std::string& directory);

// Gives the directory `partial`, all of which is durable, the name `directory`; durable when OK,
// undone as above when not.
absl::Status publish_directory(env::FileSystem& files,
                               const std::string& partial,
                               const std::string& directory);

}  // namespace starling::storage
