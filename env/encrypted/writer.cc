#include "env/encrypted/writer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "base/check.h"
#include "base/status_macros.h"

namespace starling::env {

namespace {

// So few large writes to the file below instead of many small ones.
constexpr size_t sealed_bytes_max = 16 * segment_bytes_max;

// 2^32 segments: random nonces of one key repeat with a probability below 2^-32 until then.
constexpr uint64_t plain_bytes_max = (uint64_t{1} << 32) * segment_plain_bytes;

}  // namespace

EncryptedWritableFile::EncryptedWritableFile(std::unique_ptr<WritableFile> base,
                                             std::string path,
                                             const FileKey& key,
                                             SharedRandom& random,
                                             const WriterStart& start)
    : path_(std::move(path)), base_(std::move(base)), sealer_(key, random), at_(start) {}

absl::Status EncryptedWritableFile::checked(absl::Status status) {
    if (!status.ok() && error_.ok()) {
        error_ = status;
    }
    return status;
}

absl::Status EncryptedWritableFile::emit(SegmentKind kind, std::string_view plain) {
    const SegmentHeader header{.kind = kind,
                               .length = static_cast<uint16_t>(plain.size()),
                               .plain_offset = at_.plain_size,
                               .durable = at_.durable};
    if (kind == SegmentKind::data) {
        at_.uniform = at_.uniform && at_.plain_size % segment_plain_bytes == 0 &&
                      at_.position == uniform_position(at_.plain_size);
    }
    const size_t before = sealed_bytes_.size();
    sealed_bytes_.resize(before + header.stored_bytes());
    sealer_.seal(header, at_.position, plain, sealed_bytes_.data() + before);
    at_.position += header.stored_bytes();
    at_.plain_size += plain.size();
    at_.sealed = false;
    return sealed_bytes_.size() >= sealed_bytes_max ? write_out() : absl::OkStatus();
}

absl::Status EncryptedWritableFile::emit_pending() {
    if (pending_.empty()) {
        return absl::OkStatus();
    }
    absl::Status status = emit(SegmentKind::data, pending_);
    OPENSSL_cleanse(pending_.data(), pending_.size());
    pending_.clear();
    return status;
}

absl::Status EncryptedWritableFile::write_out() {
    if (sealed_bytes_.empty()) {
        return absl::OkStatus();
    }
    absl::Status status = checked(base_->append(sealed_bytes_));
    sealed_bytes_.clear();
    return status;
}

absl::Status EncryptedWritableFile::append(std::string_view data) {
    STARLING_RETURN_IF_ERROR(error_);
    if (data.size() > plain_bytes_max - at_.plain_size) {
        return absl::OutOfRangeError(fmt::format(
            "{}: an encrypted file has at most {} bytes: begin another", path_, plain_bytes_max));
    }
    while (!data.empty()) {
        if (pending_.empty() && data.size() >= segment_plain_bytes) {
            STARLING_RETURN_IF_ERROR(emit(SegmentKind::data, data.substr(0, segment_plain_bytes)));
            data.remove_prefix(segment_plain_bytes);
            continue;
        }
        const std::string_view part = data.substr(0, segment_plain_bytes - pending_.size());
        pending_.append(part);
        data.remove_prefix(part.size());
        if (pending_.size() == segment_plain_bytes) {
            STARLING_RETURN_IF_ERROR(emit_pending());
        }
    }
    return absl::OkStatus();
}

absl::Status EncryptedWritableFile::flush() {
    STARLING_RETURN_IF_ERROR(error_);
    STARLING_RETURN_IF_ERROR(emit_pending());
    STARLING_RETURN_IF_ERROR(write_out());
    return checked(base_->flush());
}

absl::Status EncryptedWritableFile::sync() {
    STARLING_RETURN_IF_ERROR(flush());
    STARLING_RETURN_IF_ERROR(checked(base_->sync()));
    at_.durable = at_.position;
    return absl::OkStatus();
}

absl::Status EncryptedWritableFile::cut(uint64_t plain_offset) {
    STARLING_RETURN_IF_ERROR(error_);
    STARLING_CHECK(plain_offset <= at_.plain_size && pending_.empty());
    at_.uniform = false;
    at_.plain_size = plain_offset;
    return emit(SegmentKind::cut, {});
}

absl::Status EncryptedWritableFile::close() {
    if (closed_) {
        return absl::OkStatus();
    }
    closed_ = true;
    absl::Status status = error_.ok() ? flush() : error_;
    if (status.ok() && at_.durable == at_.position && !at_.sealed) {
        status = emit(at_.uniform ? SegmentKind::uniform_seal : SegmentKind::seal, {});
        if (status.ok()) {
            status = write_out();
        }
    }
    const absl::Status closed = base_->close();
    if (error_.ok()) {
        error_ = absl::FailedPreconditionError(fmt::format("{}: used after close", path_));
    }
    return status.ok() ? closed : status;
}

// A file that is flushed often takes more: this is a hint.
absl::Status EncryptedWritableFile::preallocate(uint64_t bytes) {
    STARLING_RETURN_IF_ERROR(error_);
    const uint64_t segments = bytes / segment_plain_bytes + 2;
    return base_->preallocate(file_header_bytes + bytes + segments * segment_overhead_bytes);
}

}  // namespace starling::env
