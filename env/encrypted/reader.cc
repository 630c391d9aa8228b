#include "env/encrypted/reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <openssl/crypto.h>

#include "base/status_macros.h"

namespace starling::env {

namespace {

// Of the encrypted file, in one read.
constexpr size_t run_bytes_max = size_t{128} << 10;

}  // namespace

// An opener for the time of one read.
class EncryptedRandomAccessFile::Borrowed {
  public:
    explicit Borrowed(const EncryptedRandomAccessFile& file) : file_(file) {
        absl::MutexLock lock(&file_.mutex_);
        if (!file_.idle_.empty()) {
            opener_ = std::move(file_.idle_.back());
            file_.idle_.pop_back();
        }
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    ~Borrowed() {
        absl::MutexLock lock(&file_.mutex_);
        file_.idle_.push_back(std::move(opener_));
    }

    SegmentOpener& get() {
        if (opener_ == nullptr) {
            opener_ = std::make_unique<SegmentOpener>(file_.key_);
        }
        return *opener_;
    }

  private:
    const EncryptedRandomAccessFile& file_;
    std::unique_ptr<SegmentOpener> opener_;
};

EncryptedRandomAccessFile::EncryptedRandomAccessFile(std::unique_ptr<RandomAccessFile> base,
                                                     std::string path,
                                                     const FileKey& key,
                                                     Layout layout)
    : base_(std::move(base)), path_(std::move(path)), key_(key), layout_(std::move(layout)) {}

EncryptedRandomAccessFile::~EncryptedRandomAccessFile() = default;

absl::StatusOr<size_t> EncryptedRandomAccessFile::read(uint64_t offset,
                                                       size_t count,
                                                       char* scratch) const {
    if (offset >= layout_.plain_size() || count == 0) {
        return size_t{0};
    }
    count = std::min<uint64_t>(count, layout_.plain_size() - offset);
    Borrowed opener(*this);
    size_t done = 0;
    while (done < count) {
        STARLING_ASSIGN_OR_RETURN(
            const size_t part, read_run(opener.get(), offset + done, count - done, scratch + done));
        done += part;
    }
    return count;
}

// As many neighbouring pieces as one read takes.
absl::StatusOr<size_t> EncryptedRandomAccessFile::read_run(SegmentOpener& opener,
                                                           uint64_t offset,
                                                           size_t count,
                                                           char* scratch) const {
    const Piece first = layout_.piece_at(offset);
    Piece last = first;
    while (last.plain_end() < offset + count) {
        const Piece next = layout_.piece_at(last.plain_end());
        if (next.position_end() - first.position > run_bytes_max) {
            break;
        }
        last = next;
    }
    const size_t stored_bytes = last.position_end() - first.position;
    const auto stored = std::make_unique_for_overwrite<char[]>(stored_bytes);
    STARLING_ASSIGN_OR_RETURN(const size_t got,
                              base_->read(first.position, stored_bytes, stored.get()));
    const std::string_view bytes(stored.get(), got);
    const uint64_t end = std::min(offset + count, last.plain_end());
    for (uint64_t at = offset; at < end;) {
        const Piece piece = layout_.piece_at(at);
        const size_t part = std::min(end, piece.plain_end()) - at;
        const size_t skipped = std::min<uint64_t>(piece.position - first.position, bytes.size());
        STARLING_RETURN_IF_ERROR(read_piece(opener,
                                            piece,
                                            bytes.substr(skipped),
                                            at - piece.plain_offset,
                                            part,
                                            scratch + (at - offset)));
        at += part;
    }
    return end - offset;
}

absl::Status EncryptedRandomAccessFile::read_piece(SegmentOpener& opener,
                                                   const Piece& piece,
                                                   std::string_view stored,
                                                   uint64_t offset,
                                                   size_t count,
                                                   char* scratch) const {
    char plain[segment_plain_bytes];
    const bool whole = count == piece.length;
    SegmentHeader header;
    const bool opened = opener.open(
        stored, piece.position, header, whole ? scratch : plain, whole ? count : sizeof(plain));
    if (!opened || header.kind != SegmentKind::data || header.length != piece.length ||
        header.plain_offset != piece.plain_offset) {
        return segment_damaged(
            path_, piece.position, "a segment is damaged, or is not the one that belongs there");
    }
    if (!whole) {
        std::memcpy(scratch, plain + offset, count);
        OPENSSL_cleanse(plain, header.length);
    }
    return absl::OkStatus();
}

}  // namespace starling::env
