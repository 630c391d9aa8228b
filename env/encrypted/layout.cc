#include "env/encrypted/layout.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"

namespace starling::env {

namespace {

constexpr size_t window_bytes = size_t{64} << 10;
static_assert(window_bytes >= segment_bytes_max);

bool all_zero(std::string_view bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

// Reads a file from front to back through a buffer.
class Window {
  public:
    Window(const RandomAccessFile& file, uint64_t size)
        : file_(file),
          size_(size),
          room_(std::min<uint64_t>(size, window_bytes)),
          buffer_(std::make_unique_for_overwrite<char[]>(room_)) {}

    // At least `count` bytes from `offset`, or what the file has. REQUIRES: count <= window_bytes.
    absl::StatusOr<std::string_view> at(uint64_t offset, size_t count) {
        const uint64_t wanted_end = std::min(size_, offset + count);
        if (offset < begin_ || wanted_end > begin_ + filled_) {
            STARLING_ASSIGN_OR_RETURN(filled_, file_.read(offset, room_, buffer_.get()));
            begin_ = offset;
        }
        const uint64_t available_end = std::min(size_, begin_ + filled_);
        if (offset >= available_end) {
            return std::string_view();
        }
        return std::string_view(buffer_.get() + (offset - begin_), available_end - offset);
    }

  private:
    const RandomAccessFile& file_;
    const uint64_t size_;
    const size_t room_;
    const std::unique_ptr<char[]> buffer_;
    uint64_t begin_ = 0;
    size_t filled_ = 0;
};

// Asks `is_one` about each place from `position` on that could hold a segment which claims more
// than `claimed` as durable, until one is. Such places are rare: that many bytes rarely make sense
// by chance.
template <typename IsOne>
absl::StatusOr<bool> find_claim(
    Window& window, uint64_t position, uint64_t size, uint64_t claimed, const IsOne& is_one) {
    while (position + segment_overhead_bytes <= size) {
        STARLING_ASSIGN_OR_RETURN(const std::string_view bytes, window.at(position, window_bytes));
        if (bytes.size() < segment_overhead_bytes) {
            break;
        }
        const size_t places = bytes.size() - segment_overhead_bytes + 1;
        for (size_t i = 0; i < places; ++i) {
            SegmentHeader header;
            if (parse_segment_header(
                    bytes.substr(i, segment_overhead_bytes), position + i, header) &&
                header.durable > claimed) {
                STARLING_ASSIGN_OR_RETURN(const bool found, is_one(position + i));
                if (found) {
                    return true;
                }
            }
        }
        position += places;
    }
    return false;
}

// The short way: one read. None when the file must be walked.
absl::StatusOr<std::optional<Layout>> find_uniform_seal(const RandomAccessFile& file,
                                                        uint64_t size,
                                                        SegmentOpener& opener) {
    if (size < file_header_bytes + segment_overhead_bytes) {
        return std::nullopt;
    }
    char bytes[segment_overhead_bytes];
    const uint64_t position = size - sizeof(bytes);
    STARLING_ASSIGN_OR_RETURN(const size_t count, file.read(position, sizeof(bytes), bytes));
    SegmentHeader header;
    if (!opener.open({bytes, count}, position, header, nullptr, 0) ||
        header.kind != SegmentKind::uniform_seal) {
        return std::nullopt;
    }
    return Layout::uniform(header.plain_offset, size);
}

}  // namespace

absl::Status segment_damaged(const std::string& path, uint64_t position, std::string_view why) {
    return absl::DataLossError(
        fmt::format("{}: at offset {} of the encrypted file: {}", path, position, why));
}

Layout Layout::uniform(uint64_t plain_size, uint64_t end) {
    Layout layout;
    layout.plain_size_ = plain_size;
    layout.end_ = end;
    layout.durable_ = end - segment_overhead_bytes;
    layout.sealed_ = true;
    return layout;
}

bool Layout::add(const SegmentHeader& header) {
    const bool is_cut = header.kind == SegmentKind::cut;
    if (is_cut ? header.plain_offset > plain_size_ : header.plain_offset != plain_size_) {
        return false;
    }
    durable_ = std::max(durable_, header.durable);
    sealed_ = header.kind == SegmentKind::seal || header.kind == SegmentKind::uniform_seal;
    if (is_cut) {
        cut(header.plain_offset);
    } else if (header.kind == SegmentKind::data) {
        const bool fits = uniform_ && plain_size_ % segment_plain_bytes == 0 &&
                          end_ == uniform_position(plain_size_);
        if (!fits) {
            become_walked();
        }
        if (!uniform_) {
            pieces_.push_back({.plain_offset = plain_size_,
                               .position = end_,
                               .length = header.length,
                               .visible = header.length});
        }
        plain_size_ += header.length;
    }
    end_ += header.stored_bytes();
    return true;
}

// From here on each piece is kept.
void Layout::become_walked() {
    if (!uniform_) {
        return;
    }
    for (uint64_t offset = 0; offset < plain_size_; offset += segment_plain_bytes) {
        pieces_.push_back(piece_at(offset));
    }
    uniform_ = false;
}

void Layout::cut(uint64_t plain_offset) {
    become_walked();
    while (!pieces_.empty() && pieces_.back().plain_offset >= plain_offset) {
        pieces_.pop_back();
    }
    if (!pieces_.empty()) {
        pieces_.back().visible = static_cast<uint32_t>(plain_offset - pieces_.back().plain_offset);
    }
    plain_size_ = plain_offset;
}

Piece Layout::piece_at(uint64_t offset) const {
    STARLING_CHECK(offset < plain_size_);
    if (uniform_) {
        const uint64_t begin = offset / segment_plain_bytes * segment_plain_bytes;
        const auto length =
            static_cast<uint32_t>(std::min<uint64_t>(segment_plain_bytes, plain_size_ - begin));
        return {.plain_offset = begin,
                .position = uniform_position(begin),
                .length = length,
                .visible = length};
    }
    const auto after = std::upper_bound(
        pieces_.begin(), pieces_.end(), offset, [](uint64_t at, const Piece& piece) {
            return at < piece.plain_offset;
        });
    return *std::prev(after);
}

absl::StatusOr<std::optional<FileHeader>> read_file_header(const RandomAccessFile& file,
                                                           uint64_t size,
                                                           const std::string& path) {
    char bytes[file_header_bytes];
    STARLING_ASSIGN_OR_RETURN(const size_t count, file.read(0, sizeof(bytes), bytes));
    const std::string_view found(bytes, count);
    if (count < file_header_bytes) {
        // Nothing that follows a header can have been synced without it.
        const size_t part = std::min(count, file_header_magic.size());
        if (found.substr(0, part) == file_header_magic.substr(0, part) || all_zero(found)) {
            return std::nullopt;
        }
        return absl::FailedPreconditionError(
            fmt::format("{}: is not encrypted (it is too short for a header)", path));
    }
    if (!all_zero(found)) {
        STARLING_ASSIGN_OR_RETURN(FileHeader header,
                                  decode_file_header(found, FileHeaderKind::file, path));
        return header;
    }
    // A power loss may keep later sectors of what was never synced, and not the first.
    Window window(file, size);
    STARLING_ASSIGN_OR_RETURN(
        const bool was_durable,
        find_claim(window, file_header_bytes, size, 0, [](uint64_t) -> absl::StatusOr<bool> {
            return true;
        }));
    if (was_durable) {
        return segment_damaged(
            path, 0, "the header is gone, but what follows was written after it was durable");
    }
    return std::nullopt;
}

absl::StatusOr<Layout> find_layout(const RandomAccessFile& file,
                                   uint64_t size,
                                   SegmentOpener& opener,
                                   const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(std::optional<Layout> uniform, find_uniform_seal(file, size, opener));
    if (uniform.has_value()) {
        return *std::move(uniform);
    }
    Layout layout;
    Window window(file, size);
    std::array<char, segment_plain_bytes> plain;
    SegmentHeader header;
    const auto opens_at = [&](uint64_t position) -> absl::StatusOr<bool> {
        STARLING_ASSIGN_OR_RETURN(const std::string_view bytes,
                                  window.at(position, segment_bytes_max));
        return opener.open(bytes, position, header, plain.data(), plain.size());
    };
    while (layout.end() < size) {
        STARLING_ASSIGN_OR_RETURN(const bool opened, opens_at(layout.end()));
        if (!opened) {
            break;
        }
        if (!layout.add(header)) {
            return segment_damaged(
                path, layout.end(), "a segment that does not continue the one before it");
        }
    }
    const uint64_t end = layout.end();
    Window beyond(file, size);
    STARLING_ASSIGN_OR_RETURN(const bool was_durable,
                              find_claim(beyond, end + 1, size, end, opens_at));
    if (was_durable) {
        return segment_damaged(path, end, "a segment is damaged that was durable");
    }
    return layout;
}

}  // namespace starling::env
