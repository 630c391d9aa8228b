// Damage and tampering: found, or without effect; never other content.

#include "tests/unit/env/encrypted/encrypted_test_support.h"

namespace starling::env {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class EncryptedDamageTest : public ::testing::Test {
  protected:
    enum class End { closed, synced, flushed };

    // Sizes of the parts between flushes; with a sync after the first one.
    void write(const std::string& path, std::initializer_list<size_t> sizes, End end) {
        content_.clear();
        auto file = *files_.create(path);
        for (const size_t size : sizes) {
            const std::string piece = text(size, content_.size() + path.size());
            EXPECT_OK(file->append(piece));
            EXPECT_OK(content_.empty() ? file->sync() : file->flush());
            content_ += piece;
        }
        if (end != End::flushed) {
            EXPECT_OK(file->sync());
        }
        if (end == End::closed) {
            EXPECT_OK(file->close());
        } else if (end == End::synced) {
            // As a process that was killed leaves it.
            disk_.crash(CrashMode::process, world_.random);
        }
        raw_ = content_of(disk_, path);
    }

    // The content that can be read, or the error.
    absl::StatusOr<std::string> read(const std::string& path) {
        return read_file(files_, path, 1 << 20);
    }

    absl::StatusOr<std::string> read_bytes(const std::string& bytes) {
        overwrite(disk_, "/data/tampered", bytes);
        return read("/data/tampered");
    }

    EncryptedSimWorld world_;
    SimFileSystem& disk_ = world_.disk;
    EncryptedFileSystem& files_ = world_.files;
    std::string content_;
    std::string raw_;
};

TEST_F(EncryptedDamageTest, EveryFlippedBitOfAClosedFileIsFoundOrChangesNothing) {
    write("/data/file", {50, 30, 60}, End::closed);
    const uint64_t seal = raw_.size() - segment_overhead_bytes;
    for (uint64_t at = 0; at < raw_.size(); ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string damaged = raw_;
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            const auto found = read_bytes(damaged);
            if (at >= seal) {
                // Only what a seal is for is lost: to prove that what is before it is all there.
                ASSERT_OK(found);
                ASSERT_EQ(*found, content_);
                continue;
            }
            ASSERT_FALSE(found.ok()) << "offset " << at << ", bit " << bit;
            ASSERT_TRUE(absl::IsDataLoss(found.status())) << found.status();
            ASSERT_THAT(std::string(found.status().message()), HasSubstr("/data/tampered"));
        }
    }
}

TEST_F(EncryptedDamageTest, EveryFlippedBitOfAUniformFileIsFoundOrChangesNothing) {
    write("/data/file", {300}, End::closed);
    for (uint64_t at = 0; at < raw_.size(); ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string damaged = raw_;
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            const auto found = read_bytes(damaged);
            ASSERT_EQ(found.ok(), at >= raw_.size() - segment_overhead_bytes) << at;
            ASSERT_TRUE(!found.ok() || *found == content_) << at;
        }
    }
}

TEST_F(EncryptedDamageTest, AFlippedBitOfAFileInWritingGivesAnErrorOrAPrefix) {
    write("/data/log", {50, 30, 60}, End::flushed);
    // What the process has not sealed: the last parts may be what a power loss left.
    const auto segments = raw_segments(raw_);
    ASSERT_EQ(segments.size(), 3U);
    for (uint64_t at = 0; at < raw_.size(); ++at) {
        std::string damaged = raw_;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        const auto found = read_bytes(damaged);
        if (at < segments[1].position) {
            // Later segments say that this was synced.
            ASSERT_FALSE(found.ok()) << at;
        } else {
            ASSERT_OK(found);
            ASSERT_EQ(*found, content_.substr(0, at < segments[2].position ? 50 : 80));
        }
    }
}

TEST_F(EncryptedDamageTest, TheErrorNamesTheFileAndThePlace) {
    write("/data/file", {5000, 5000}, End::closed);
    const auto segments = raw_segments(raw_);
    EXPECT_OK(disk_.flip_bit("/data/file", segments[1].position + 100, 0));
    const auto found = read("/data/file");
    ASSERT_TRUE(absl::IsDataLoss(found.status()));
    EXPECT_THAT(std::string(found.status().message()),
                HasSubstr("/data/file: at offset " + std::to_string(segments[1].position)));
}

TEST_F(EncryptedDamageTest, OtherPartsOfATableStayReadable) {
    write("/data/table", {40000}, End::closed);
    EXPECT_OK(disk_.flip_bit("/data/table", uniform_position(8192) + 1000, 3));
    const auto file = *files_.open_for_read("/data/table");
    EXPECT_EQ(*file->size(), 40000U);
    std::string scratch(4096, '\0');
    EXPECT_OK(file->read(4096, 4096, scratch.data()).status());
    EXPECT_EQ(scratch, content_.substr(4096, 4096));
    EXPECT_TRUE(absl::IsDataLoss(file->read(8192, 10, scratch.data()).status()));
    EXPECT_TRUE(absl::IsDataLoss(file->read(12287, 10, scratch.data()).status()));
    EXPECT_OK(file->read(12288, 4096, scratch.data()).status());
}

TEST_F(EncryptedDamageTest, CutToAnyLengthAFileIsAPrefixOrAnError) {
    write("/data/file", {50, 30, 60}, End::closed);
    for (size_t length = 0; length < raw_.size(); ++length) {
        const auto found = read_bytes(raw_.substr(0, length));
        if (found.ok()) {
            ASSERT_THAT(content_, StartsWith(*found)) << length;
        }
    }
}

TEST_F(EncryptedDamageTest, GarbageBehindTheContentChangesNothing) {
    for (const End end : {End::closed, End::synced}) {
        write("/data/file", {50, 30, 60}, end);
        for (const size_t count : {1U, 47U, 48U, 5000U}) {
            for (const std::string& garbage :
                 {std::string(count, '\0'), std::string(count, '\xff'), text(count)}) {
                const auto found = read_bytes(raw_ + garbage);
                ASSERT_OK(found);
                ASSERT_EQ(*found, content_);
            }
        }
    }
}

TEST_F(EncryptedDamageTest, SegmentsThatChangePlacesAreFound) {
    for (const End end : {End::closed, End::synced}) {
        write("/data/file", {4096 * 4}, end);
        for (int first = 0; first < 4; ++first) {
            for (int second = 0; second < 4; ++second) {
                if (first == second) {
                    continue;
                }
                // Copied over the other, as a misdirected write does.
                const auto position = [](int index) {
                    return uniform_position(static_cast<uint64_t>(index) * 4096);
                };
                std::string damaged = raw_;
                damaged.replace(position(first),
                                segment_bytes_max,
                                raw_.substr(position(second), segment_bytes_max));
                const auto copied = read_bytes(damaged);
                ASSERT_TRUE(!copied.ok() || end == End::synced);
                ASSERT_TRUE(!copied.ok() ||
                            *copied == content_.substr(0, static_cast<size_t>(first) * 4096));
                damaged.replace(position(second),
                                segment_bytes_max,
                                raw_.substr(position(first), segment_bytes_max));
                const auto swapped = read_bytes(damaged);
                ASSERT_TRUE(!swapped.ok() || end == End::synced);
                ASSERT_TRUE(!swapped.ok() || content_.starts_with(*swapped));
            }
        }
    }
}

TEST_F(EncryptedDamageTest, ASegmentTakenOutOfTheMiddleLeavesAPrefixAtMost) {
    write("/data/file", {100, 100, 100}, End::closed);
    const auto segments = raw_segments(raw_);
    std::string damaged = raw_;
    damaged.erase(segments[1].position, segments[1].bytes.size());
    // The rest no longer stands where it was written, so it proves nothing: what is left is a
    // prefix, as after a cut.
    const auto found = read_bytes(damaged);
    EXPECT_TRUE(!found.ok() || *found == content_.substr(0, 100));
}

TEST_F(EncryptedDamageTest, ASegmentOfAnotherFileIsFound) {
    write("/data/other", {4096 * 3}, End::closed);
    const std::string other = raw_;
    write("/data/file", {4096 * 3}, End::closed);
    std::string damaged = raw_;
    damaged.replace(uniform_position(4096),
                    segment_bytes_max,
                    other.substr(uniform_position(4096), segment_bytes_max));
    EXPECT_TRUE(absl::IsDataLoss(read_bytes(damaged).status()));
}

TEST_F(EncryptedDamageTest, TheHeaderOfAnotherFileOpensNothing) {
    write("/data/other", {5000}, End::closed);
    const std::string other = raw_;
    write("/data/file", {5000}, End::closed);
    const auto found =
        read_bytes(other.substr(0, file_header_bytes) + raw_.substr(file_header_bytes));
    // As in a recycled file, segments that the key does not open were never written.
    EXPECT_TRUE(!found.ok() || found->empty());
}

TEST_F(EncryptedDamageTest, AFileInThePlaceOfAnotherIsThatOtherOneAsAWhole) {
    write("/data/other", {100, 200}, End::closed);
    const std::string expected = content_;
    write("/data/file", {5000}, End::closed);
    EXPECT_OK(disk_.rename("/data/other", "/data/file"));
    EXPECT_EQ(*read("/data/file"), expected);
}

TEST_F(EncryptedDamageTest, ALostHeaderOfWhatWasSyncedIsDamageAndOfTheRestIsNot) {
    write("/data/log", {50, 30}, End::flushed);
    const std::string synced = raw_;
    std::string no_header = synced;
    no_header.replace(0, file_header_bytes, file_header_bytes, '\0');
    const auto found = read_bytes(no_header);
    EXPECT_TRUE(absl::IsDataLoss(found.status())) << found.status();

    auto file = *files_.create("/data/fresh");
    EXPECT_OK(file->append(text(9000)));
    EXPECT_OK(file->flush());
    std::string fresh = content_of(disk_, "/data/fresh");
    fresh.replace(0, 512, 512, '\0');
    EXPECT_EQ(*read_bytes(fresh), "");
    EXPECT_OK((*files_.open_for_append("/data/tampered"))->append("again"));
    EXPECT_EQ(*read("/data/tampered"), "again");
}

TEST_F(EncryptedDamageTest, AForgedLengthOverrunsNothing) {
    write("/data/table", {4096 * 2 + 10}, End::closed);
    const uint64_t last = uniform_position(8192);
    for (const uint16_t length : {uint16_t{0},
                                  uint16_t{9},
                                  uint16_t{11},
                                  uint16_t{4096},
                                  uint16_t{4097},
                                  uint16_t{65535}}) {
        std::string damaged = raw_;
        std::memcpy(damaged.data() + last + nonce_bytes + 2, &length, 2);
        overwrite(disk_, "/data/tampered", damaged);
        const auto file = *files_.open_for_read("/data/tampered");
        std::string scratch(5000, 'x');
        EXPECT_TRUE(absl::IsDataLoss(file->read(8192, 10, scratch.data()).status())) << length;
        EXPECT_EQ(scratch.substr(10), std::string(4990, 'x')) << length;
    }
}

TEST(SegmentTest, ASegmentOpensAtItsPlaceInItsFileOnly) {
    SeededRandom seeded(1);
    SharedRandom random(seeded);
    FileKey key{.id = {'a'}, .data_key = SecretKey(std::string(secret_key_bytes, 'k'))};
    const SegmentHeader header{.length = 7, .plain_offset = 70, .durable = 110};
    std::string bytes(header.stored_bytes(), '\0');
    SegmentSealer(key, random).seal(header, 500, "content", bytes.data());
    SegmentHeader found;
    std::string plain(7, '\0');
    EXPECT_TRUE(SegmentOpener(key).open(bytes, 500, found, plain.data(), plain.size()));
    EXPECT_EQ(plain, "content");
    EXPECT_EQ(found.plain_offset, 70U);
    EXPECT_EQ(found.durable, 110U);
    EXPECT_FALSE(SegmentOpener(key).open(bytes, 501, found, plain.data(), plain.size()));
    EXPECT_FALSE(SegmentOpener(key).open(bytes, 500, found, plain.data(), plain.size() - 1));
    key.id[0] = 'b';
    EXPECT_FALSE(SegmentOpener(key).open(bytes, 500, found, plain.data(), plain.size()));
}

TEST_F(EncryptedDamageTest, NothingOfWhatDoesNotAuthenticateIsLeftWithTheCaller) {
    write("/data/table", {4096 * 2}, End::closed);
    EXPECT_OK(disk_.flip_bit("/data/table", uniform_position(4096) + 2000, 3));
    const auto file = *files_.open_for_read("/data/table");
    std::string scratch(4096, 'x');
    EXPECT_FALSE(file->read(4096, 4096, scratch.data()).ok());
    EXPECT_EQ(scratch, std::string(4096, '\0'));
}

}  // namespace
}  // namespace starling::env
