#include "storage/log/record_file.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace starling::storage::lsm {
namespace {

constexpr uint64_t number = 7;
constexpr LogPosition base = 1000;

// A file of the records given, each claiming all before it durable unless told otherwise.
class FileOfRecords {
  public:
    FileOfRecords() : bytes_(encode_record_file_header(RecordFileKind::log, number, base)) {}

    void add(std::string_view payload) { add(payload, base + bytes_.size()); }
    void add(std::string_view payload, LogPosition durable) {
        offsets_.push_back(bytes_.size());
        std::string record;
        append_record(record, ++sequence_, durable, payload);
        seal_records(record.data(), record.data() + record.size(), number, bytes_.size());
        bytes_ += record;
    }

    std::string& bytes() { return bytes_; }
    // Of record i.
    size_t offset(size_t i) const { return offsets_[i]; }

  private:
    std::string bytes_;
    std::vector<size_t> offsets_;
    uint64_t sequence_ = 0;
};

std::vector<std::string> payloads(std::string_view bytes, uint64_t file_number = number) {
    RecordReader reader(bytes, RecordFileKind::log, file_number);
    std::vector<std::string> result;
    for (Record record; reader.next(record);) {
        EXPECT_EQ(record.sequence, result.size() + 1);
        result.emplace_back(record.payload);
    }
    return result;
}

using Payloads = std::vector<std::string>;

TEST(RecordFileTest, AnEmptyFileHasNoHeaderAndNoRecords) {
    RecordReader reader("", RecordFileKind::log, number);
    Record record;
    EXPECT_FALSE(reader.has_header());
    EXPECT_FALSE(reader.next(record));
    EXPECT_TRUE(reader.at_end());
    EXPECT_EQ(reader.durable_claimed_beyond(0, base), 0u);
}

TEST(RecordFileTest, ARecordThatIsExtendedClaimsWhatIsDurableByThen) {
    std::string bytes = encode_record_file_header(RecordFileKind::log, number, base);
    const size_t first = bytes.size();
    append_record(bytes, 1, base + 3, "ab");
    extend_record(bytes, first, base + 20, "cde");
    seal_records(bytes.data() + first, bytes.data() + bytes.size(), number, first);
    EXPECT_EQ(payloads(bytes), Payloads{"abcde"});
    bytes[5] ^= 1;
    EXPECT_EQ(RecordReader(bytes, RecordFileKind::log, number).durable_claimed_beyond(0, base),
              base + 20);
}

TEST(RecordFileTest, RecordsOfAnySizeAreReadBack) {
    FileOfRecords file;
    const Payloads written = {"", "a", std::string(511, 'b'), std::string(100000, 'c'), ""};
    for (const std::string& payload : written) {
        file.add(payload);
    }
    EXPECT_EQ(payloads(file.bytes()), written);
    RecordReader reader(file.bytes(), RecordFileKind::log, number);
    EXPECT_EQ(reader.base(), base);
}

TEST(RecordFileTest, ATruncatedFileGivesItsWholeRecords) {
    FileOfRecords file;
    file.add("first");
    file.add("second");
    const std::string whole = file.bytes();
    for (size_t size = 0; size < whole.size(); ++size) {
        const size_t expected = size >= file.offset(1) ? 1 : 0;
        const std::string cut = whole.substr(0, size);
        EXPECT_EQ(payloads(cut).size(), expected) << size;
        RecordReader reader(cut, RecordFileKind::log, number);
        for (Record record; reader.next(record);) {
        }
        EXPECT_EQ(reader.at_end(), size == 0 || size == 32 || size == file.offset(1)) << size;
    }
}

TEST(RecordFileTest, EveryFlippedBitEndsTheFileThere) {
    FileOfRecords file;
    file.add("first");
    file.add("second");
    for (size_t i = 0; i < file.bytes().size() * 8; ++i) {
        std::string damaged = file.bytes();
        damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ 1 << i % 8);
        EXPECT_EQ(payloads(damaged).size(), i / 8 >= file.offset(1) ? 1u : 0u) << i;
    }
}

TEST(RecordFileTest, ZerosAtTheEndAreNoRecords) {
    FileOfRecords file;
    file.add("first");
    file.bytes().append(4096, '\0');
    EXPECT_EQ(payloads(file.bytes()), Payloads{"first"});
    RecordReader reader(file.bytes(), RecordFileKind::log, number);
    Record record;
    EXPECT_TRUE(reader.next(record));
    EXPECT_FALSE(reader.next(record));
    EXPECT_FALSE(reader.at_end());
    EXPECT_EQ(reader.durable_claimed_beyond(0, base), 0u);
}

TEST(RecordFileTest, ARecordOfAnotherFileIsNotRead) {
    FileOfRecords file;
    file.add("first");
    EXPECT_TRUE(payloads(file.bytes(), number + 1).empty());
    // The same bytes behind a header of the other number.
    std::string recycled = encode_record_file_header(RecordFileKind::log, number + 1, base);
    recycled += file.bytes().substr(recycled.size());
    EXPECT_TRUE(payloads(recycled, number + 1).empty());
}

TEST(RecordFileTest, ARecordAtAnotherOffsetIsNotRead) {
    FileOfRecords file;
    file.add("same size");
    file.add("SAME SIZE");
    const std::string second = file.bytes().substr(file.offset(1));
    EXPECT_EQ(payloads(file.bytes() + second).size(), 2u);
    EXPECT_TRUE(payloads(file.bytes().substr(0, file.offset(0)) + second).empty());
}

TEST(RecordFileTest, AManifestIsNoLog) {
    FileOfRecords file;
    RecordReader reader(file.bytes(), RecordFileKind::manifest, number);
    EXPECT_FALSE(reader.has_header());
}

TEST(RecordFileTest, DamageBeforeARecordThatClaimsItDurableIsSeen) {
    FileOfRecords file;
    file.add("first");
    file.add("second");
    file.add("third");
    file.bytes()[file.offset(1) + record_header_bytes] ^= 1;
    RecordReader reader(file.bytes(), RecordFileKind::log, number);
    Record record;
    EXPECT_TRUE(reader.next(record));
    EXPECT_FALSE(reader.next(record));
    EXPECT_EQ(reader.offset(), file.offset(1));
    EXPECT_EQ(reader.durable_claimed_beyond(base + reader.offset(), base), base + file.offset(2));
}

TEST(RecordFileTest, AClaimIsSeenThoughThePayloadBehindItIsCutOff) {
    FileOfRecords file;
    file.add("first");
    file.add("second");
    file.bytes()[file.offset(0)] ^= 1;
    file.bytes().resize(file.offset(1) + record_header_bytes + 2);
    RecordReader reader(file.bytes(), RecordFileKind::log, number);
    Record record;
    EXPECT_FALSE(reader.next(record));
    EXPECT_EQ(reader.durable_claimed_beyond(base + reader.offset(), base), base + file.offset(1));
}

TEST(RecordFileTest, RecordsOfOneUnsyncedWindowClaimNothingOfEachOther) {
    FileOfRecords file;
    file.add("first");
    const LogPosition durable = base + file.bytes().size();
    file.add("second", durable);
    file.add("third", durable);
    // The sector of the second was torn, that of the third was written.
    file.bytes()[file.offset(1) + 3] ^= 1;
    RecordReader reader(file.bytes(), RecordFileKind::log, number);
    Record record;
    EXPECT_TRUE(reader.next(record));
    EXPECT_FALSE(reader.next(record));
    EXPECT_EQ(reader.durable_claimed_beyond(base + reader.offset(), base), 0u);
    EXPECT_EQ(reader.durable_claimed_beyond(base, base), durable);
}

TEST(RecordFileTest, ALengthBeyondTheFileIsNoRecord) {
    FileOfRecords file;
    file.add("first");
    std::string record;
    append_record(record, 2, base, "payload");
    seal_records(record.data(), record.data() + record.size(), number, file.bytes().size());
    file.bytes() += record.substr(0, record.size() - 1);
    EXPECT_EQ(payloads(file.bytes()), Payloads{"first"});
}

TEST(RecordFileTest, BytesThatHappenToHaveTheChecksumOfARecordClaimNoFuture) {
    // What a recycled file shows until its new header is synced.
    std::string bytes = encode_record_file_header(RecordFileKind::log, number - 4, base - 500);
    for (const LogPosition durable : {base + 100, base + 10'000, LogPosition{1} << 62}) {
        std::string record;
        append_record(record, 1, durable, "payload");
        seal_records(record.data(), record.data() + record.size(), number, bytes.size());
        bytes += record;
    }
    bytes.resize(4096);
    RecordReader reader(bytes, RecordFileKind::log, number);
    ASSERT_FALSE(reader.has_header());
    EXPECT_EQ(reader.durable_claimed_beyond(base, base), 0u);
    EXPECT_EQ(reader.durable_claimed_beyond(base, base + 4096), base + 100)
        << "it may be of a file before, whose header is damaged";
}

RC_GTEST_PROP(RecordFileTest, ArbitraryBytesNeverCrashTheReader, (const std::string& noise)) {
    std::string bytes = encode_record_file_header(RecordFileKind::log, number, base) + noise;
    RecordReader reader(bytes, RecordFileKind::log, number);
    for (Record record; reader.next(record);) {
    }
    RC_ASSERT(reader.offset() <= bytes.size());
    RC_ASSERT(reader.durable_claimed_beyond(0, base) <= base + bytes.size());
}

}  // namespace
}  // namespace starling::storage::lsm
