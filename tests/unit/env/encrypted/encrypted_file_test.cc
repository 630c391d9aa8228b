// What lies on the disk, and that it comes back.

#include <map>
#include <set>
#include <tuple>

#include "env/posix/file_system.h"
#include "env/posix/random.h"
#include "tests/unit/env/encrypted/encrypted_test_support.h"

namespace starling::env {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class EncryptedFileTest : public ::testing::Test {
  protected:
    std::string raw(const std::string& path) { return content_of(disk_, path); }

    // Writes `sizes` bytes, one after another, with a flush after each.
    void write_flushed(const std::string& path, std::initializer_list<size_t> sizes) {
        auto file = *files_.create(path);
        for (const size_t size : sizes) {
            const std::string piece = text(size, expected_.size());
            EXPECT_OK(file->append(piece));
            EXPECT_OK(file->flush());
            expected_ += piece;
        }
        EXPECT_OK(file->close());
    }

    EncryptedSimWorld world_;
    SimFileSystem& disk_ = world_.disk;
    EncryptedFileSystem& files_ = world_.files;
    std::string expected_;
};

TEST_F(EncryptedFileTest, NothingOfTheContentIsOnTheDisk) {
    const std::string content(10000, 's');
    EXPECT_OK(write_file(files_, "/data/file", content));
    EXPECT_THAT(raw("/data/file"), Not(HasSubstr("ssss")));
    EXPECT_EQ(content_of(files_, "/data/file"), content);
}

TEST_F(EncryptedFileTest, TheSameContentTwiceLooksDifferent) {
    EXPECT_OK(write_file(files_, "/data/a", "same"));
    EXPECT_OK(write_file(files_, "/data/b", "same"));
    EXPECT_NE(raw("/data/a").substr(file_header_bytes), raw("/data/b").substr(file_header_bytes));
}

TEST_F(EncryptedFileTest, AppendedBytesThatAreNotFlushedDoNotReachTheDisk) {
    disk_.set_append_buffer_bytes(0);
    auto file = *files_.create("/data/file");
    EXPECT_OK(file->append(std::string(4095, 's')));
    EXPECT_EQ(raw("/data/file").size(), file_header_bytes);
    EXPECT_OK(file->flush());
    EXPECT_EQ(raw("/data/file").size(), file_header_bytes + segment_bytes_max - 1);
}

TEST_F(EncryptedFileTest, EverySizeAroundASegmentComesBackWithEveryRangeOfIt) {
    for (const size_t size : {0U, 1U, 4095U, 4096U, 4097U, 8192U, 12289U}) {
        const std::string content = text(size);
        auto writer = *files_.create("/data/file");
        EXPECT_OK(writer->append(content));
        EXPECT_OK(writer->sync());
        EXPECT_OK(writer->close());
        EXPECT_EQ(*files_.file_size("/data/file"), size);
        const auto file = *files_.open_for_read("/data/file");
        for (size_t begin = 0; begin <= size; begin += 1 + size / 37) {
            for (const size_t count : {1U, 100U, 4096U, 5000U, 20000U}) {
                std::string found(count, '\0');
                const auto got = file->read(begin, count, found.data());
                ASSERT_OK(got);
                found.resize(*got);
                ASSERT_EQ(found, content.substr(begin, count)) << begin << " " << count;
            }
        }
    }
}

TEST_F(EncryptedFileTest, AFileThatWasFlushedAnywhereComesBackWithEveryRangeOfIt) {
    write_flushed("/data/log", {10, 4096, 1, 5000, 8192, 700, 300});
    EXPECT_EQ(content_of(files_, "/data/log"), expected_);
    const auto file = *files_.open_for_read("/data/log");
    for (size_t begin = 0; begin < expected_.size(); begin += 131) {
        for (const size_t count : {1U, 600U, 9000U}) {
            std::string found(count, '\0');
            found.resize(*file->read(begin, count, found.data()));
            ASSERT_EQ(found, expected_.substr(begin, count));
        }
    }
}

TEST_F(EncryptedFileTest, ALargeReadSpansManyReadsOfTheDisk) {
    const std::string content = text(1 << 20);
    EXPECT_OK(write_file(files_, "/data/file", content));
    EXPECT_EQ(content_of(files_, "/data/file"), content);
}

TEST_F(EncryptedFileTest, OpeningATableThatWasSyncedAndClosedNeedsThreeReads) {
    auto writer = *files_.create("/data/table");
    EXPECT_OK(writer->append(text(1 << 20)));
    EXPECT_OK(writer->sync());
    EXPECT_OK(writer->close());
    uint64_t reads = 0;
    disk_.faults().set_hook([&](FileOperation operation, const std::string&) {
        reads += operation == FileOperation::read ? 1 : 0;
        return absl::OkStatus();
    });
    const auto file = *files_.open_for_read("/data/table");
    char scratch[100];
    EXPECT_EQ(*file->read(500'000, 100, scratch), 100U);
    disk_.faults().set_hook(nullptr);
    EXPECT_EQ(reads, 3U);
}

TEST_F(EncryptedFileTest, TwoFilesOfOneSizeAndDifferentShapeAreToldApart) {
    // As many segments as a uniform file of 6000 bytes has, but they begin elsewhere.
    auto writer = *files_.create("/data/log");
    EXPECT_OK(writer->append(text(3000, 1)));
    EXPECT_OK(writer->flush());
    EXPECT_OK(writer->append(text(3000, 2)));
    EXPECT_OK(writer->sync());
    EXPECT_OK(writer->close());
    EXPECT_EQ(content_of(files_, "/data/log"), text(3000, 1) + text(3000, 2));
}

TEST_F(EncryptedFileTest, AFileThatIsContinuedAfterItsSealComesBack) {
    std::string expected;
    for (int round = 0; round < 5; ++round) {
        auto writer = *files_.open_for_append("/data/log");
        const std::string piece = text(4096 + static_cast<size_t>(round) * 1000, expected.size());
        EXPECT_OK(writer->append(piece));
        EXPECT_OK(writer->sync());
        EXPECT_OK(writer->close());
        expected += piece;
        EXPECT_EQ(content_of(files_, "/data/log"), expected);
    }
    const size_t before = raw("/data/log").size();
    auto writer = *files_.open_for_append("/data/log");
    EXPECT_OK(writer->sync());
    EXPECT_OK(writer->close());
    EXPECT_EQ(raw("/data/log").size(), before);
}

TEST_F(EncryptedFileTest, TruncationToAnySizeKeepsWhatIsBeforeIt) {
    for (const bool uniform : {true, false}) {
        for (const size_t size : {0U, 1U, 100U, 4095U, 4096U, 4097U, 8191U, 8192U, 9000U, 9001U}) {
            expected_.clear();
            if (uniform) {
                expected_ = text(9000);
                auto writer = *files_.create("/data/log");
                EXPECT_OK(writer->append(expected_));
                EXPECT_OK(writer->sync());
            } else {
                write_flushed("/data/log", {100, 4000, 4100, 800});
            }
            EXPECT_OK(files_.truncate("/data/log", size));
            expected_.resize(size, '\0');
            ASSERT_EQ(content_of(files_, "/data/log"), expected_) << uniform << " " << size;
            // Cut again, within what was cut, then continue.
            EXPECT_OK(files_.truncate("/data/log", size / 2));
            EXPECT_OK(files_.truncate("/data/log", size / 3));
            expected_.resize(size / 3);
            ASSERT_EQ(content_of(files_, "/data/log"), expected_) << uniform << " " << size;
            auto writer = *files_.open_for_append("/data/log");
            EXPECT_OK(writer->append(text(5000, 9)));
            EXPECT_OK(writer->close());
            expected_ += text(5000, 9);
            ASSERT_EQ(content_of(files_, "/data/log"), expected_) << uniform << " " << size;
            EXPECT_EQ(*files_.file_size("/data/log"), expected_.size());
        }
    }
}

TEST_F(EncryptedFileTest, ARecycledFileHasANewKeyAndNothingOfItsOldContent) {
    EXPECT_OK(write_durably(files_, "/data", "old", text(20000)));
    const std::string old_raw = raw("/data/old");
    auto file = *files_.recycle("/data/old", "/data/new");
    EXPECT_EQ(content_of(files_, "/data/new"), "");
    EXPECT_FALSE(*files_.exists("/data/old"));
    EXPECT_OK(file->append("fresh"));
    EXPECT_OK(file->sync());
    const std::string new_raw = raw("/data/new");
    EXPECT_NE(new_raw.substr(0, file_header_bytes), old_raw.substr(0, file_header_bytes));
    // As a file system leaves it that overwrites the old bytes from the start.
    overwrite(disk_, "/data/overwritten", new_raw + old_raw.substr(new_raw.size()));
    EXPECT_EQ(content_of(files_, "/data/overwritten"), "fresh");
    EXPECT_OK((*files_.open_for_append("/data/overwritten"))->append("er"));
    EXPECT_EQ(content_of(files_, "/data/overwritten"), "fresher");
}

TEST_F(EncryptedFileTest, SegmentsOfAnEarlierLifeThatLineUpAreNotTakenForContent) {
    EXPECT_OK(write_durably(files_, "/data", "old", text(20000)));
    const std::string old_raw = raw("/data/old");
    auto file = *files_.recycle("/data/old", "/data/new");
    EXPECT_OK(file->append(text(4096, 5)));
    EXPECT_OK(file->flush());
    const std::string new_raw = raw("/data/new");
    ASSERT_EQ(new_raw.size(), file_header_bytes + segment_bytes_max);
    overwrite(disk_, "/data/overwritten", new_raw + old_raw.substr(new_raw.size()));
    EXPECT_EQ(content_of(files_, "/data/overwritten"), text(4096, 5));
}

TEST_F(EncryptedFileTest, NoNonceIsUsedTwiceUnderOneKey) {
    // Whatever happens to a file, one key and one nonce never go with two contents.
    std::map<std::pair<std::string, std::string>, std::string> seen;
    size_t count = 0;
    const auto look = [&] {
        const std::string bytes = raw("/data/log");
        const std::string key = bytes.substr(0, file_header_bytes);
        for (const RawSegment& segment : raw_segments(bytes)) {
            const auto [at, fresh] =
                seen.try_emplace({key, segment.bytes.substr(0, nonce_bytes)}, segment.bytes);
            ASSERT_TRUE(at->second == segment.bytes) << "at " << segment.position;
            count += fresh ? 1 : 0;
        }
    };
    for (int round = 0; round < 20; ++round) {
        if (round % 7 == 6) {
            EXPECT_OK((*files_.recycle("/data/log", "/data/log"))->append("x"));
        }
        {
            auto file = *files_.open_for_append("/data/log");
            EXPECT_OK(file->append(text(9000)));
            EXPECT_OK(round % 2 == 0 ? file->sync() : file->flush());
            EXPECT_OK(file->append(text(100)));
            EXPECT_OK(file->flush());
            look();
            disk_.crash(round % 3 == 0 ? CrashMode::lost : CrashMode::torn, world_.random);
        }
        EXPECT_OK(disk_.sync_directory("/data"));
        if (!*files_.exists("/data/log")) {
            continue;
        }
        EXPECT_OK(files_.truncate("/data/log", *files_.file_size("/data/log") / 2));
        look();
    }
    EXPECT_GT(count, 60U);
    std::set<std::string> nonces;
    for (const auto& entry : seen) {
        nonces.insert(entry.first.second);
    }
    EXPECT_EQ(nonces.size(), seen.size());
}

TEST_F(EncryptedFileTest, AfterAFailedWriteNothingMoreIsWrittenToTheFile) {
    auto file = *files_.create("/data/log");
    EXPECT_OK(file->append("one"));
    EXPECT_OK(file->flush());
    EXPECT_OK(file->append("two"));
    disk_.faults().fail_next(FileOperation::write);
    EXPECT_FALSE(file->flush().ok());
    const std::string before = raw("/data/log");
    EXPECT_FALSE(file->append("three").ok());
    EXPECT_FALSE(file->flush().ok());
    EXPECT_FALSE(file->sync().ok());
    EXPECT_FALSE(file->close().ok());
    EXPECT_EQ(raw("/data/log"), before);
    EXPECT_EQ(content_of(files_, "/data/log"), "one");
    // What a caller does that wants to go on.
    EXPECT_OK(files_.truncate("/data/log", 3));
    EXPECT_OK((*files_.open_for_append("/data/log"))->append(" and more"));
    EXPECT_EQ(content_of(files_, "/data/log"), "one and more");
}

TEST_F(EncryptedFileTest, AFailedSyncIsNoSealAndNoClaim) {
    {
        auto file = *files_.create("/data/log");
        EXPECT_OK(file->append("one"));
        disk_.faults().fail_next(FileOperation::sync);
        EXPECT_FALSE(file->sync().ok());
        EXPECT_FALSE(file->sync().ok());
    }
    for (const RawSegment& segment : raw_segments(raw("/data/log"))) {
        EXPECT_EQ(segment.header.kind, SegmentKind::data);
        EXPECT_EQ(segment.header.durable, 0U);
    }
}

TEST_F(EncryptedFileTest, PlainFilesAreRefusedAndKnown) {
    overwrite(disk_, "/data/short", "plain");
    overwrite(disk_, "/data/long", text(10000));
    EXPECT_OK(write_file(files_, "/data/encrypted", "x"));
    for (const std::string path : {"/data/short", "/data/long"}) {
        EXPECT_FALSE(*files_.is_encrypted(path));
        for (const absl::Status& status : {files_.open_for_read(path).status(),
                                           files_.open_for_append(path).status(),
                                           files_.file_size(path).status(),
                                           files_.truncate(path, 1),
                                           files_.rewrap(path)}) {
            EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
            EXPECT_THAT(std::string(status.message()), HasSubstr(path + ": is not encrypted"));
        }
    }
    EXPECT_TRUE(*files_.is_encrypted("/data/encrypted"));
    EXPECT_TRUE(absl::IsNotFound(files_.is_encrypted("/data/none").status()));
    EXPECT_OK(write_file(files_, "/data/short", "replaced"));
    EXPECT_EQ(content_of(files_, "/data/short"), "replaced");
}

TEST_F(EncryptedFileTest, PreallocationReservesRoomForTheOverheadToo) {
    const uint64_t before = disk_.used_bytes();
    auto file = *files_.create("/data/log");
    EXPECT_OK(file->preallocate(1 << 20));
    EXPECT_OK(file->flush());
    const uint64_t reserved = disk_.used_bytes();
    EXPECT_GT(reserved, before + (1 << 20));
    EXPECT_OK(file->append(text(1 << 20)));
    EXPECT_OK(file->sync());
    EXPECT_EQ(disk_.used_bytes(), reserved);
}

TEST(EncryptedPosixTest, TheKernelsRandomnessDoes) {
    TemporaryDirectory directory;
    PosixFileSystem disk;
    PosixRandom random;
    EncryptedFileSystem files(disk, random, KeyRing(master_key(1)));
    const std::string path = directory.path() + "/file";
    EXPECT_OK(write_file(files, path, "content"));
    EXPECT_EQ(content_of(files, path), "content");
    PosixRandom other_random;
    EncryptedFileSystem again(disk, other_random, KeyRing(master_key(1)));
    EXPECT_EQ(content_of(again, path), "content");
}

}  // namespace
}  // namespace starling::env
