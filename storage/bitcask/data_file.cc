#include "storage/bitcask/data_file.h"

#include <utility>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/status_macros.h"
#include "storage/bitcask/file_names.h"
#include "storage/log/record_file.h"

namespace starling::storage::bitcask {

namespace {

constexpr size_t hint_record_bytes = 64u << 10;

absl::Status damaged(const std::string& path, uint64_t offset, std::string_view why) {
    return absl::DataLossError(fmt::format("{}: at offset {}: {}", path, offset, why));
}

void encode_hinted(std::string& out, const Change& change) {
    base::put_u8(out, static_cast<uint8_t>(change.type));
    base::put_varint(out, change.sequence);
    base::put_bytes(out, change.key);
    if (change.type == ChangeType::put) {
        base::put_varint(out, change.expiry);
        base::put_varint(out, change.location.offset);
        base::put_varint(out, change.location.size);
        base::put_u32(out, change.location.checksum);
    } else if (change.type == ChangeType::remove_range) {
        base::put_bytes(out, change.end);
    }
}

bool decode_hinted(base::Reader& in, const ListedFile& file, Change& change) {
    const uint8_t type = in.u8();
    change.type = static_cast<ChangeType>(type);
    change.sequence = in.varint();
    change.key = in.bytes();
    change.location.file = file.number;
    if (change.type == ChangeType::put) {
        change.expiry = in.varint();
        change.location.offset = in.varint();
        const uint64_t size = in.varint();
        change.location.size = static_cast<uint32_t>(size);
        change.location.checksum = in.u32();
        if (change.location.offset > file.bytes || size > file.bytes - change.location.offset ||
            size > UINT32_MAX || change.expiry > expiry_max) {
            return false;
        }
    } else if (change.type == ChangeType::remove_range) {
        change.end = in.bytes();
    } else if (change.type != ChangeType::remove) {
        return false;
    }
    return !in.failed();
}

}  // namespace

absl::Status read_data_file(env::FileSystem& files,
                            const std::string& directory,
                            const ListedFile& file,
                            ChangeVisitor visit) {
    const std::string path = data_path(directory, file.number);
    STARLING_ASSIGN_OR_RETURN(std::string content,
                              env::read_file(files, path, data_file_bytes_max));
    if (content.size() < file.bytes) {
        return damaged(path, content.size(), fmt::format("the file ends before {}", file.bytes));
    }
    content.resize(file.bytes);
    RecordReader reader(
        content, file.merged ? RecordFileKind::merged_data : RecordFileKind::data, file.number);
    if (!reader.has_header()) {
        return damaged(path, 0, "the file header is damaged");
    }
    Record record;
    while (reader.next(record)) {
        const auto changes = changes_of(
            record.payload, record.sequence, file.number, record.offset + record_header_bytes);
        if (!changes.ok()) {
            return damaged(path, record.offset, "a batch is damaged");
        }
        for (const Change& change : *changes) {
            STARLING_RETURN_IF_ERROR(visit(change));
        }
    }
    return reader.at_end() ? absl::OkStatus()
                           : damaged(path, reader.offset(), "a record is damaged");
}

bool decode_hint(std::string_view content, const ListedFile& file, ChangeVisitor visit) {
    RecordReader reader(content, RecordFileKind::hint, file.number);
    if (!reader.has_header() || reader.base() != file.bytes) {
        return false;
    }
    Record record;
    bool complete = false;
    for (uint64_t index = 0; reader.next(record); ++index) {
        if (complete || record.sequence != index) {
            return false;
        }
        // An empty record is the last one.
        complete = record.payload.empty();
        base::Reader in(record.payload);
        while (!in.finished()) {
            Change change;
            if (!decode_hinted(in, file, change) || !visit(change).ok()) {
                return false;
            }
        }
    }
    return complete && reader.at_end();
}

bool read_hint(env::FileSystem& files,
               const std::string& directory,
               const ListedFile& file,
               ChangeVisitor visit) {
    const auto content =
        env::read_file(files, hint_path(directory, file.number), data_file_bytes_max);
    return content.ok() &&
           decode_hint(*content, file, [](const Change&) { return absl::OkStatus(); }) &&
           decode_hint(*content, file, visit);
}

HintBuilder::HintBuilder(uint64_t number) : number_(number) {}

void HintBuilder::add(const Change& change) {
    encode_hinted(payload_, change);
    if (payload_.size() >= hint_record_bytes) {
        end_record();
    }
}

void HintBuilder::end_record() {
    append_record(records_, record_count_++, 0, payload_);
    payload_.clear();
}

std::string HintBuilder::finish(uint64_t data_bytes) {
    if (!payload_.empty()) {
        end_record();
    }
    end_record();
    seal_records(
        records_.data(), records_.data() + records_.size(), number_, record_file_header_bytes);
    return encode_record_file_header(RecordFileKind::hint, number_, data_bytes) + records_;
}

void write_hint(env::FileSystem& files,
                const std::string& directory,
                uint64_t number,
                std::string_view content) {
    const std::string path = hint_path(directory, number);
    auto file = files.create(path);
    if (!file.ok()) {
        return;
    }
    absl::Status status = (*file)->append(content);
    // A backup lists the hint with its checksum.
    if (status.ok()) {
        status = (*file)->sync();
    }
    status.Update((*file)->close());
    file->reset();
    if (!status.ok()) {
        // On a full disk its space counts.
        files.remove(path).IgnoreError();
    }
}

}  // namespace starling::storage::bitcask
