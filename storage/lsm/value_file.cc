#include "storage/lsm/value_file.h"

#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

constexpr std::string_view magic = "STARLVAL";
constexpr uint32_t value_format_version = 1;
constexpr size_t write_bytes = 256u << 10;

std::string encode_header(uint64_t number) {
    std::string header(magic);
    base::put_u32(header, value_format_version);
    base::put_u64(header, number);
    base::put_u32(header, base::crc32c(header));
    return header;
}

// Covers the place too: a value that stands where another belongs is damage.
uint32_t record_checksum(uint64_t number, uint64_t offset, std::string_view value) {
    std::string place;
    base::put_u64(place, number);
    base::put_u64(place, offset);
    base::put_u32(place, static_cast<uint32_t>(value.size()));
    return base::crc32c_extend(base::crc32c(place), value);
}

absl::Status damaged(const std::string& path, uint64_t offset) {
    return absl::DataLossError(fmt::format("{}: at offset {}: a value is damaged", path, offset));
}

absl::StatusOr<std::string> read_record(const env::RandomAccessFile& file,
                                        const std::string& path,
                                        uint64_t number,
                                        uint64_t offset,
                                        uint32_t size) {
    std::string record(value_record_bytes + size, '\0');
    STARLING_ASSIGN_OR_RETURN(const size_t got, file.read(offset, record.size(), record.data()));
    base::Reader reader(record);
    const uint32_t checksum = reader.u32();
    if (got != record.size() || reader.u32() != size ||
        checksum != record_checksum(number, offset, reader.rest())) {
        return damaged(path, offset);
    }
    record.erase(0, value_record_bytes);
    return record;
}

}  // namespace

ValueFileWriter::ValueFileWriter(env::FileSystem& files,
                                 std::string path,
                                 uint64_t number,
                                 std::unique_ptr<env::WritableFile> file)
    : files_(files), path_(std::move(path)), number_(number), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<ValueFileWriter>> ValueFileWriter::create(
    env::FileSystem& files, const std::string& directory, uint64_t number) {
    std::string path = value_file_path(directory, number);
    STARLING_ASSIGN_OR_RETURN(auto file, files.create(path));
    std::unique_ptr<ValueFileWriter> writer(
        new ValueFileWriter(files, std::move(path), number, std::move(file)));
    writer->buffer_ = encode_header(number);
    writer->end_ = value_file_header_bytes;
    return writer;
}

ValueFileWriter::~ValueFileWriter() {
    if (!finished_) {
        file_.reset();
        files_.remove(path_).IgnoreError();
    }
}

absl::StatusOr<ValuePointer> ValueFileWriter::append(std::string_view value, Expiry expiry) {
    const ValuePointer pointer{.expiry = expiry,
                               .file = number_,
                               .offset = end_,
                               .size = static_cast<uint32_t>(value.size())};
    base::put_u32(buffer_, record_checksum(number_, end_, value));
    base::put_u32(buffer_, pointer.size);
    buffer_.append(value);
    end_ += pointer.record_bytes();
    if (buffer_.size() >= write_bytes) {
        STARLING_RETURN_IF_ERROR(write_buffer());
    }
    return pointer;
}

absl::Status ValueFileWriter::write_buffer() {
    STARLING_RETURN_IF_ERROR(file_->append(buffer_));
    buffer_.clear();
    return absl::OkStatus();
}

absl::StatusOr<ValueFileMetadata> ValueFileWriter::finish() {
    STARLING_RETURN_IF_ERROR(write_buffer());
    STARLING_RETURN_IF_ERROR(file_->sync());
    STARLING_RETURN_IF_ERROR(file_->close());
    finished_ = true;
    return ValueFileMetadata{.number = number_, .file_bytes = end_};
}

absl::StatusOr<ValueFiles::File> ValueFiles::find(uint64_t number) {
    {
        absl::MutexLock lock(&mutex_);
        if (const auto found = index_.find(number); found != index_.end()) {
            open_.splice(open_.begin(), open_, found->second);
            return found->second->file;
        }
    }
    // Two threads may open one file at the same time; the second handle then goes away.
    const std::string path = value_file_path(directory_, number);
    auto opened = files_.open_for_read(path);
    if (absl::IsNotFound(opened.status())) {
        STARLING_MARK(value_file_missing);
        return missing_file(path);
    }
    STARLING_RETURN_IF_ERROR(opened.status());
    STARLING_ASSIGN_OR_RETURN(const uint64_t bytes, (*opened)->size());
    File file = std::make_shared<SizedFile>(*std::move(opened), bytes);
    File dropped;
    absl::MutexLock lock(&mutex_);
    if (!index_.contains(number)) {
        open_.push_front({.number = number, .file = file});
        index_.emplace(number, open_.begin());
        if (open_.size() > files_max_) {
            dropped = std::move(open_.back().file);
            index_.erase(open_.back().number);
            open_.pop_back();
        }
    }
    return file;
}

absl::StatusOr<std::string> ValueFiles::read(const ValuePointer& pointer) {
    STARLING_ASSIGN_OR_RETURN(const File file, find(pointer.file));
    const std::string path = value_file_path(directory_, pointer.file);
    // A damaged pointer is not to ask for memory that no record fills.
    if (pointer.offset > file->bytes || pointer.record_bytes() > file->bytes - pointer.offset) {
        return damaged(path, pointer.offset);
    }
    return read_record(*file->file, path, pointer.file, pointer.offset, pointer.size);
}

void ValueFiles::forget(uint64_t number) {
    File dropped;
    absl::MutexLock lock(&mutex_);
    if (const auto found = index_.find(number); found != index_.end()) {
        dropped = std::move(found->second->file);
        open_.erase(found->second);
        index_.erase(found);
    }
}

absl::Status verify_value_file(env::FileSystem& files,
                               const std::string& directory,
                               const ValueFileMetadata& metadata) {
    const std::string path = value_file_path(directory, metadata.number);
    STARLING_ASSIGN_OR_RETURN(const auto file, files.open_for_read(path));
    STARLING_ASSIGN_OR_RETURN(const uint64_t size, file->size());
    std::string header(value_file_header_bytes, '\0');
    STARLING_ASSIGN_OR_RETURN(const size_t got,
                              file->read(0, value_file_header_bytes, header.data()));
    if (size != metadata.file_bytes || got != value_file_header_bytes ||
        header != encode_header(metadata.number)) {
        return damaged(path, 0);
    }
    for (uint64_t offset = value_file_header_bytes; offset < size;) {
        char head[value_record_bytes];
        STARLING_ASSIGN_OR_RETURN(const size_t head_bytes, file->read(offset, sizeof(head), head));
        uint32_t value_size = 0;
        std::memcpy(&value_size, head + 4, sizeof(value_size));
        if (head_bytes != sizeof(head) || value_size > size - offset - sizeof(head)) {
            return damaged(path, offset);
        }
        STARLING_RETURN_IF_ERROR(
            read_record(*file, path, metadata.number, offset, value_size).status());
        offset += sizeof(head) + value_size;
    }
    return absl::OkStatus();
}

}  // namespace starling::storage::lsm
