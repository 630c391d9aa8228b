#pragma once

#include <memory>
#include <string>

#include "env/encrypted/segment.h"
#include "env/file_system.h"

namespace starling::env {

// Where a writer continues.
struct WriterStart {
    // In the encrypted file.
    uint64_t position = file_header_bytes;
    uint64_t plain_size = 0;
    uint64_t durable = 0;
    bool uniform = true;
    bool sealed = false;
};

// Encrypts what is appended. Content waits until a segment is full, or until flush(), sync() or
// close() ends it early; nothing that has not been encrypted reaches `base`. After an error it
// writes nothing more: the same place must never be sealed twice, and its tail is unknown.
class EncryptedWritableFile final : public WritableFile {
  public:
    EncryptedWritableFile(std::unique_ptr<WritableFile> base,
                          std::string path,
                          const FileKey& key,
                          SharedRandom& random,
                          const WriterStart& start);
    ~EncryptedWritableFile() override { close().IgnoreError(); }

    absl::Status append(std::string_view data) override;
    absl::Status flush() override;
    absl::Status sync() override;
    absl::Status close() override;
    absl::Status preallocate(uint64_t bytes) override;
    // Does nothing: every write makes new segments.
    absl::Status fill_ahead(uint64_t) override { return error_; }

    // Ends the content at `plain_offset`. REQUIRES: not beyond its end; nothing was appended.
    absl::Status cut(uint64_t plain_offset);

  private:
    absl::Status emit(SegmentKind kind, std::string_view plain);
    absl::Status emit_pending();
    absl::Status write_out();
    // Keeps the first error, for good.
    absl::Status checked(absl::Status status);

    // Constant after construction.
    const std::string path_;
    const std::unique_ptr<WritableFile> base_;

    SegmentSealer sealer_;
    WriterStart at_;
    // Less than a segment of content.
    std::string pending_;
    // Segments that `base_` does not have yet.
    std::string sealed_bytes_;
    absl::Status error_;
    bool closed_ = false;
};

}  // namespace starling::env
