#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

#include "env/encrypted/layout.h"
#include "env/file_system.h"

namespace starling::env {

// Reads a file as it was when it was opened: what is appended later is not seen. data_loss names
// the path and the place in the encrypted file.
class EncryptedRandomAccessFile final : public RandomAccessFile {
  public:
    EncryptedRandomAccessFile(std::unique_ptr<RandomAccessFile> base,
                              std::string path,
                              const FileKey& key,
                              Layout layout);
    ~EncryptedRandomAccessFile() override;

    absl::StatusOr<size_t> read(uint64_t offset, size_t count, char* scratch) const override;
    absl::StatusOr<uint64_t> size() const override { return layout_.plain_size(); }
    void forget_pages() const override { base_->forget_pages(); }

  private:
    class Borrowed;

    absl::StatusOr<size_t> read_run(SegmentOpener& opener,
                                    uint64_t offset,
                                    size_t count,
                                    char* scratch) const;
    absl::Status read_piece(SegmentOpener& opener,
                            const Piece& piece,
                            std::string_view stored,
                            uint64_t offset,
                            size_t count,
                            char* scratch) const;

    // Constant after construction.
    const std::unique_ptr<RandomAccessFile> base_;
    const std::string path_;
    const FileKey key_;
    const Layout layout_;

    // One for each thread that has been reading at the same time as others.
    mutable absl::Mutex mutex_;
    mutable std::vector<std::unique_ptr<SegmentOpener>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::env
