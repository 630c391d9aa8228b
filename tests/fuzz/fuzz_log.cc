// Files of records: the log and the manifest. The input is a list of records, of which the target
// makes a file, and damage to it: up to four neighbouring bytes changed, the end cut off. Oracles:
// without damage all records come back; with it, those before it, unchanged, and the reader stops
// there; what a later record says to be durable is found. And as a file of its own, the input harms
// nothing.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/codec.h"
#include "storage/log/record_file.h"

namespace {

using namespace starling;
using namespace starling::storage;

constexpr size_t records_max = 16;
constexpr uint64_t file_number = 7;
constexpr LogPosition file_base = 1000;

struct Written {
    uint64_t sequence = 0;
    LogPosition durable = 0;
    std::string payload;
    uint64_t begin = 0;
    uint64_t end = 0;
};

struct Damage {
    uint64_t offset = 0;
    uint32_t flips = 0;
    uint64_t cut = 0;
};

std::vector<Written> append_all(base::Reader& in, std::string& file) {
    std::vector<Written> written;
    const size_t count = in.u8() % records_max;
    while (written.size() < count && !in.failed()) {
        Written& record = written.emplace_back();
        record.sequence = in.varint();
        record.begin = file.size();
        record.durable = in.varint() % (file_base + file.size() + 1);
        record.payload = in.bytes();
        append_record(file, record.sequence, record.durable, record.payload);
        record.end = file.size();
    }
    return written;
}

// Applies `damage`; the offset of the first byte that differs, or the undamaged size.
uint64_t harm(std::string& file, const Damage& damage) {
    uint64_t first = file.size();
    for (uint64_t i = 0; i < 4; ++i) {
        const auto flips = static_cast<char>(damage.flips >> (8 * i));
        const uint64_t at = record_file_header_bytes + damage.offset + i;
        if (flips != 0 && at < file.size()) {
            file[at] = static_cast<char>(file[at] ^ flips);
            first = std::min(first, at);
        }
    }
    const uint64_t cut = std::min<uint64_t>(damage.cut, file.size() - record_file_header_bytes);
    file.resize(file.size() - cut);
    return std::min<uint64_t>(first, file.size());
}

void check_read(std::string_view file, const std::vector<Written>& written, uint64_t intact) {
    RecordReader reader(file, RecordFileKind::log, file_number);
    STARLING_CHECK(reader.has_header() && reader.base() == file_base);
    Record record;
    size_t next = 0;
    for (; next < written.size() && written[next].end <= intact; ++next) {
        STARLING_CHECK(reader.next(record));
        STARLING_CHECK(record.sequence == written[next].sequence &&
                       record.durable == written[next].durable);
        STARLING_CHECK(record.offset == written[next].begin &&
                       record.payload == written[next].payload);
    }
    STARLING_CHECK(!reader.next(record));
    STARLING_CHECK(reader.offset() ==
                   (next == 0 ? record_file_header_bytes : written[next - 1].end));
    LogPosition claimed = 0;
    for (size_t i = next + 1; i < written.size() && written[i].end <= file.size(); ++i) {
        // The burst is shorter than a header: one that begins four bytes on is whole.
        if (written[i].begin >= intact + 4) {
            claimed = std::max(claimed, written[i].durable);
        }
    }
    STARLING_CHECK(reader.durable_claimed_beyond(0, file.size()) >= claimed);
}

void read_as_a_file(std::string_view input) {
    for (const RecordFileKind kind : {RecordFileKind::log, RecordFileKind::manifest}) {
        for (const std::string& header :
             {std::string(), encode_record_file_header(kind, file_number, 0)}) {
            const std::string file = header + std::string(input);
            RecordReader reader(file, kind, file_number);
            Record record;
            while (reader.next(record)) {
                STARLING_CHECK(record.payload.data() + record.payload.size() <=
                               file.data() + file.size());
            }
            STARLING_CHECK(reader.offset() <= file.size());
            STARLING_CHECK(reader.durable_claimed_beyond(0, 0) <= file.size());
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    read_as_a_file(input);
    base::Reader in(input);
    const Damage damage{.offset = in.u16(), .flips = in.u32(), .cut = in.u8()};
    std::string file = encode_record_file_header(RecordFileKind::log, file_number, file_base);
    const std::vector<Written> written = append_all(in, file);
    seal_records(file.data() + record_file_header_bytes,
                 file.data() + file.size(),
                 file_number,
                 record_file_header_bytes);
    const uint64_t intact = harm(file, damage);
    check_read(file, written, intact);
    return 0;
}
