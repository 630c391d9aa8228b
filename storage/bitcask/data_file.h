#pragma once

// Reading data files and their hints as a whole, in the order in which they were written
// (docs/formats/bitcask.md). A hint holds the changes of its data file without the values; it is
// never needed, and whatever is wrong with it, the data file is read instead.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/bitcask/changes.h"
#include "storage/bitcask/file_list.h"

namespace starling::storage::bitcask {

// The largest batch fits into a file that holds nothing else.
inline constexpr uint64_t data_file_bytes_max = uint64_t{4} << 30;

using ChangeVisitor = absl::FunctionRef<absl::Status(const Change& change)>;

// All changes of the file, whose first `file.bytes` bytes count. data_loss, naming file and offset:
// something there cannot be read. The visitor's errors end it.
absl::Status read_data_file(env::FileSystem& files,
                            const std::string& directory,
                            const ListedFile& file,
                            ChangeVisitor visit);

// False: there is no usable hint, and nothing was visited.
bool read_hint(env::FileSystem& files,
               const std::string& directory,
               const ListedFile& file,
               ChangeVisitor visit);

class HintBuilder {
  public:
    explicit HintBuilder(uint64_t number);
    void add(const Change& change);
    // The content of the hint of a data file of `data_bytes` bytes.
    std::string finish(uint64_t data_bytes);

  private:
    void end_record();

    const uint64_t number_;
    std::string payload_;
    // Without the file header.
    std::string records_;
    uint64_t record_count_ = 0;
};

// Synced, since a backup may list it; but a hint that cannot be written is not missed.
void write_hint(env::FileSystem& files,
                const std::string& directory,
                uint64_t number,
                std::string_view content);

// What decodes a hint's content; false when it is not one of this file.
bool decode_hint(std::string_view content, const ListedFile& file, ChangeVisitor visit);

}  // namespace starling::storage::bitcask
