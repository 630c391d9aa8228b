// What every FileSystem does: the real one, the simulated one, and the encrypted one over either
// pass the same suite.

#include <memory>

#include "base/error.h"
#include "env/encrypted/file_system.h"
#include "env/posix/file_system.h"
#include "env/sim/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct PosixWorld {
    static constexpr bool shows_old_bytes = true;
    TemporaryDirectory temporary;
    PosixFileSystem files;
    std::string root = temporary.path();
};

struct SimWorld {
    static constexpr bool shows_old_bytes = true;
    SimWorld() { EXPECT_OK(files.create_directory(root)); }
    SimFileSystem files;
    std::string root = "/data";
};

template <typename World>
struct EncryptedWorld {
    static constexpr bool shows_old_bytes = false;
    World below;
    SeededRandom random{1};
    EncryptedFileSystem files{
        below.files, random, KeyRing(MasterKey(SecretKey("a master key of thirty-two bytes")))};
    std::string root = below.root;
};

// Of so many bytes, and nowhere the same.
std::string numbers_of(size_t size) {
    std::string content;
    for (uint32_t i = 0; content.size() < size; ++i) {
        content += std::to_string(i * 2654435761U);
    }
    content.resize(size);
    return content;
}

template <typename World>
class FileConformanceTest : public ::testing::Test {
  protected:
    std::string path(const std::string& name) const { return world_.root + "/" + name; }
    FileSystem& files() { return world_.files; }
    // What is left of the bytes behind those that were written.
    static std::string behind(const std::string& bytes) {
        return World::shows_old_bytes ? bytes : "";
    }

    World world_;
};

struct WorldName {
    template <typename World>
    static std::string GetName(int) {
        if constexpr (std::is_same_v<World, PosixWorld>) {
            return "Posix";
        } else if constexpr (std::is_same_v<World, SimWorld>) {
            return "Sim";
        } else {
            return std::is_same_v<World, EncryptedWorld<PosixWorld>> ? "EncryptedPosix"
                                                                     : "EncryptedSim";
        }
    }
};

using Worlds =
    ::testing::Types<PosixWorld, SimWorld, EncryptedWorld<PosixWorld>, EncryptedWorld<SimWorld>>;
TYPED_TEST_SUITE(FileConformanceTest, Worlds, WorldName);

TYPED_TEST(FileConformanceTest, AppendsComeBackInOrder) {
    auto file = this->files().create(this->path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->append("one "));
    EXPECT_OK((*file)->append(""));
    EXPECT_OK((*file)->append("two"));
    EXPECT_OK((*file)->sync());
    EXPECT_OK((*file)->close());
    EXPECT_EQ(content_of(this->files(), this->path("log")), "one two");
    EXPECT_EQ(*this->files().file_size(this->path("log")), 7U);
}

TYPED_TEST(FileConformanceTest, AppendsOfAllSizesAroundTheBufferComeBack) {
    std::string expected;
    auto file = this->files().create(this->path("big"));
    ASSERT_OK(file);
    for (const size_t size : {1U, 65535U, 1U, 65536U, 65537U, 300000U, 7U, 65530U, 6U, 1U}) {
        const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
        EXPECT_OK((*file)->append(piece));
        expected += piece;
    }
    EXPECT_OK((*file)->close());
    EXPECT_EQ(content_of(this->files(), this->path("big")), expected);
}

TYPED_TEST(FileConformanceTest, AppendedBytesAreSeenByOthersAfterFlushOnly) {
    auto file = this->files().create(this->path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->append("waiting"));
    EXPECT_EQ(*this->files().file_size(this->path("log")), 0U);
    EXPECT_OK((*file)->flush());
    EXPECT_EQ(content_of(this->files(), this->path("log")), "waiting");
}

TYPED_TEST(FileConformanceTest, DestructionClosesAFile) {
    {
        auto file = this->files().create(this->path("log"));
        ASSERT_OK(file);
        EXPECT_OK((*file)->append("kept"));
    }
    EXPECT_EQ(content_of(this->files(), this->path("log")), "kept");
}

TYPED_TEST(FileConformanceTest, AClosedFileTakesNothingMore) {
    auto file = this->files().create(this->path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->close());
    EXPECT_OK((*file)->close());
    EXPECT_TRUE(absl::IsFailedPrecondition((*file)->append("x")));
    EXPECT_TRUE(absl::IsFailedPrecondition((*file)->flush()));
    EXPECT_TRUE(absl::IsFailedPrecondition((*file)->sync()));
    EXPECT_TRUE(absl::IsFailedPrecondition((*file)->preallocate(10)));
}

TYPED_TEST(FileConformanceTest, CreateEmptiesAFileAndOpenForAppendContinuesIt) {
    EXPECT_OK(write_file(this->files(), this->path("log"), "old"));
    {
        auto file = this->files().open_for_append(this->path("log"));
        ASSERT_OK(file);
        EXPECT_OK((*file)->append(" and new"));
    }
    EXPECT_EQ(content_of(this->files(), this->path("log")), "old and new");
    EXPECT_OK(write_file(this->files(), this->path("log"), "fresh"));
    EXPECT_EQ(content_of(this->files(), this->path("log")), "fresh");
    {
        auto file = this->files().open_for_append(this->path("other"));
        ASSERT_OK(file);
    }
    EXPECT_EQ(content_of(this->files(), this->path("other")), "");
}

TYPED_TEST(FileConformanceTest, PreallocationDoesNotShow) {
    auto file = this->files().create(this->path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->preallocate(1 << 20));
    EXPECT_EQ(*this->files().file_size(this->path("log")), 0U);
    EXPECT_OK((*file)->append("short"));
    EXPECT_OK((*file)->close());
    EXPECT_EQ(content_of(this->files(), this->path("log")), "short");
}

TYPED_TEST(FileConformanceTest, ARecycledFileKeepsItsOldBytesBehindTheNewOnes) {
    EXPECT_OK(write_file(this->files(), this->path("old"), "0123456789"));
    EXPECT_OK(write_file(this->files(), this->path("new"), "replaced by the recycled one"));
    {
        auto file = this->files().recycle(this->path("old"), this->path("new"));
        ASSERT_OK(file);
        EXPECT_OK((*file)->append("ab"));
        EXPECT_OK((*file)->flush());
        EXPECT_EQ(content_of(this->files(), this->path("new")), "ab" + this->behind("23456789"));
        EXPECT_OK((*file)->append("cd"));
        EXPECT_OK((*file)->sync());
        EXPECT_OK((*file)->preallocate(5));
        EXPECT_OK((*file)->close());
    }
    EXPECT_FALSE(*this->files().exists(this->path("old")));
    EXPECT_EQ(content_of(this->files(), this->path("new")), "abcd" + this->behind("456789"));
}

TYPED_TEST(FileConformanceTest, ARecycledFileGrowsBeyondItsOldEnd) {
    EXPECT_OK(write_file(this->files(), this->path("old"), "0123"));
    {
        auto file = this->files().recycle(this->path("old"), this->path("new"));
        ASSERT_OK(file);
        EXPECT_OK((*file)->append("abcdefgh"));
    }
    EXPECT_EQ(content_of(this->files(), this->path("new")), "abcdefgh");
}

TYPED_TEST(FileConformanceTest, AFileIsRecycledUnderItsOwnName) {
    EXPECT_OK(write_file(this->files(), this->path("log"), "0123"));
    {
        auto file = this->files().recycle(this->path("log"), this->path("log"));
        ASSERT_OK(file);
        EXPECT_OK((*file)->append("a"));
    }
    EXPECT_EQ(content_of(this->files(), this->path("log")), "a" + this->behind("123"));
}

TYPED_TEST(FileConformanceTest, WhatCannotBeRecycledIsRefused) {
    EXPECT_TRUE(
        absl::IsNotFound(this->files().recycle(this->path("gone"), this->path("new")).status()));
    EXPECT_OK(this->files().create_directory(this->path("directory")));
    EXPECT_TRUE(absl::IsInvalidArgument(
        this->files().recycle(this->path("directory"), this->path("other")).status()));
}

TYPED_TEST(FileConformanceTest, ZerosAheadAreOverwrittenByAppends) {
    auto file = this->files().create(this->path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->append("ab"));
    EXPECT_OK((*file)->fill_ahead(5));
    EXPECT_OK((*file)->append("cd"));
    EXPECT_OK((*file)->sync());
    EXPECT_EQ(content_of(this->files(), this->path("log")),
              "abcd" + this->behind(std::string(1, '\0')));
    EXPECT_OK((*file)->fill_ahead(3));
    EXPECT_OK((*file)->append("efgh"));
    EXPECT_OK((*file)->fill_ahead(200000));
    EXPECT_OK((*file)->append("i"));
    EXPECT_OK((*file)->close());
    EXPECT_TRUE(absl::IsFailedPrecondition((*file)->fill_ahead(10)));
    EXPECT_EQ(content_of(this->files(), this->path("log")),
              "abcdefghi" + this->behind(std::string(200000 - 9, '\0')));
}

TYPED_TEST(FileConformanceTest, AFileThatIsContinuedCanBeFilledAheadToo) {
    EXPECT_OK(write_file(this->files(), this->path("log"), "ab"));
    {
        auto file = this->files().open_for_append(this->path("log"));
        ASSERT_OK(file);
        EXPECT_OK((*file)->fill_ahead(6));
        EXPECT_OK((*file)->append("cd"));
    }
    EXPECT_EQ(content_of(this->files(), this->path("log")),
              "abcd" + this->behind(std::string(2, '\0')));
}

TYPED_TEST(FileConformanceTest, ReadsAreExactAndShortOnlyAtTheEnd) {
    EXPECT_OK(write_file(this->files(), this->path("table"), "0123456789"));
    auto file = this->files().open_for_read(this->path("table"));
    ASSERT_OK(file);
    char scratch[16] = {};
    EXPECT_EQ(*(*file)->read(2, 3, scratch), 3U);
    EXPECT_EQ(std::string_view(scratch, 3), "234");
    EXPECT_EQ(*(*file)->read(8, 16, scratch), 2U);
    EXPECT_EQ(std::string_view(scratch, 2), "89");
    EXPECT_EQ(*(*file)->read(10, 1, scratch), 0U);
    EXPECT_EQ(*(*file)->read(1000, 1, scratch), 0U);
    EXPECT_EQ(*(*file)->read(0, 0, scratch), 0U);
    EXPECT_EQ(*(*file)->size(), 10U);
}

TYPED_TEST(FileConformanceTest, DirectReadsAreAsExactWhereverTheyBeginAndEnd) {
    const std::string content = numbers_of(300'001);
    EXPECT_OK(write_file(this->files(), this->path("table"), content));
    auto file = this->files().open_for_direct_read(this->path("table"));
    ASSERT_OK(file);
    EXPECT_EQ(*(*file)->size(), content.size());
    std::string scratch(content.size() + 10'000, '\0');
    const uint64_t places[] = {0, 1, 511, 512, 4095, 4096, 4097, 65'536, content.size() - 1};
    for (const uint64_t offset : places) {
        for (const uint64_t count :
             {uint64_t{0}, uint64_t{1}, uint64_t{4096}, uint64_t{5000}, uint64_t{content.size()}}) {
            const std::string expected = content.substr(offset, count);
            ASSERT_EQ(*(*file)->read(offset, count, scratch.data()), expected.size());
            ASSERT_EQ(scratch.substr(0, expected.size()), expected)
                << count << " bytes at " << offset;
        }
    }
    EXPECT_EQ(*(*file)->read(content.size(), 1, scratch.data()), 0U);
    EXPECT_EQ(*(*file)->read(content.size() + 9000, 1, scratch.data()), 0U);
    EXPECT_TRUE(absl::IsNotFound(this->files().open_for_direct_read(this->path("gone")).status()));
}

TYPED_TEST(FileConformanceTest, WhatIsStreamedComesBackWhereverItEnds) {
    for (const size_t size : {0U, 1U, 4095U, 4096U, 4097U, 524287U, 524288U, 524289U, 1700007U}) {
        for (const bool synced : {true, false}) {
            SCOPED_TRACE(std::to_string(size) + (synced ? ", synced" : ""));
            const std::string expected = numbers_of(size);
            auto file = this->files().create_streamed(this->path("table"));
            ASSERT_OK(file);
            for (size_t at = 0; at < size; at += 77'777) {
                ASSERT_OK((*file)->append(std::string_view(expected).substr(at, 77'777)));
            }
            if (synced) {
                ASSERT_OK((*file)->sync());
                ASSERT_EQ(content_of(this->files(), this->path("table")), expected);
            }
            ASSERT_OK((*file)->close());
            ASSERT_OK((*file)->close());
            EXPECT_EQ(content_of(this->files(), this->path("table")), expected);
            EXPECT_TRUE(absl::IsFailedPrecondition((*file)->append("x")));
            EXPECT_TRUE(absl::IsFailedPrecondition((*file)->sync()));
        }
    }
    EXPECT_TRUE(
        absl::IsNotFound(this->files().create_streamed(this->path("gone") + "/table").status()));
}

TYPED_TEST(FileConformanceTest, AStreamedFileGoesOnAfterAFlush) {
    std::string expected;
    {
        auto file = this->files().create_streamed(this->path("table"));
        ASSERT_OK(file);
        for (const size_t size : {5U, 600'000U, 4096U, 1U, 70'000U}) {
            const std::string piece = numbers_of(size);
            ASSERT_OK((*file)->append(piece));
            expected += piece;
            ASSERT_OK((*file)->flush());
            ASSERT_EQ(content_of(this->files(), this->path("table")), expected);
        }
        ASSERT_OK((*file)->preallocate(2'000'000));
        ASSERT_OK((*file)->append("kept"));
        expected += "kept";
    }
    EXPECT_EQ(content_of(this->files(), this->path("table")), expected);
}

TYPED_TEST(FileConformanceTest, StreamedReadsAreExactInWhicheverOrder) {
    const std::string content = numbers_of(300'001);
    EXPECT_OK(write_file(this->files(), this->path("table"), content));
    for (const size_t piece_bytes : {4096U, 65'536U, 1U << 20}) {
        auto file = this->files().open_streamed(this->path("table"), piece_bytes);
        ASSERT_OK(file);
        EXPECT_EQ(*(*file)->size(), content.size());
        std::string scratch(content.size() + 10'000, '\0');
        const auto expect_read = [&](uint64_t offset, size_t count) {
            const std::string expected = content.substr(offset, count);
            ASSERT_EQ(*(*file)->read(offset, count, scratch.data()), expected.size());
            ASSERT_EQ(scratch.substr(0, expected.size()), expected)
                << count << " bytes at " << offset << " in pieces of " << piece_bytes;
        };
        // From the beginning to the end; with gaps; back; all at once; at the end.
        for (uint64_t at = 0; at < content.size(); at += 3001) {
            expect_read(at, 3001);
        }
        for (const uint64_t offset : {5000U, 290'000U, 4095U, 4096U, 150'000U, 149'999U, 0U}) {
            for (const size_t count : {0U, 1U, 4096U, 20'000U}) {
                expect_read(offset, count);
            }
        }
        expect_read(0, content.size() + 1);
        EXPECT_EQ(*(*file)->read(content.size(), 1, scratch.data()), 0U);
        EXPECT_EQ(*(*file)->read(content.size() + 9000, 1, scratch.data()), 0U);
        expect_read(content.size() - 1, 10);
    }
    EXPECT_TRUE(absl::IsNotFound(this->files().open_streamed(this->path("gone"), 4096).status()));
}

TYPED_TEST(FileConformanceTest, MissingFilesAreNotFoundAndNamed) {
    FileSystem& files = this->files();
    const std::string gone = this->path("gone");
    EXPECT_TRUE(absl::IsNotFound(files.open_for_read(gone).status()));
    EXPECT_TRUE(absl::IsNotFound(files.file_size(gone).status()));
    EXPECT_TRUE(absl::IsNotFound(files.remove(gone)));
    EXPECT_TRUE(absl::IsNotFound(files.rename(gone, this->path("x"))));
    EXPECT_TRUE(absl::IsNotFound(files.link(gone, this->path("x"))));
    EXPECT_TRUE(absl::IsNotFound(files.truncate(gone, 0)));
    EXPECT_TRUE(absl::IsNotFound(files.list(gone).status()));
    EXPECT_TRUE(absl::IsNotFound(files.sync_directory(gone)));
    EXPECT_TRUE(absl::IsNotFound(files.free_bytes(gone).status()));
    EXPECT_TRUE(absl::IsNotFound(files.create(gone + "/file").status()));
    EXPECT_TRUE(absl::IsNotFound(files.create_directory(gone + "/directory")));
    EXPECT_FALSE(*files.exists(gone));
    EXPECT_FALSE(*files.exists(gone + "/file"));
    EXPECT_THAT(std::string(files.open_for_read(gone).status().message()), HasSubstr(gone));
}

TYPED_TEST(FileConformanceTest, AnotherKindOfFileIsRefused) {
    FileSystem& files = this->files();
    const std::string file = this->path("file");
    const std::string directory = this->path("directory");
    EXPECT_OK(write_file(files, file, "x"));
    EXPECT_OK(files.create_directory(directory));
    EXPECT_TRUE(absl::IsInvalidArgument(files.create(directory).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files.open_for_append(directory).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files.open_for_read(directory).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files.file_size(directory).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files.truncate(directory, 0)));
    EXPECT_TRUE(absl::IsInvalidArgument(files.list(file).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files.sync_directory(file)));
    EXPECT_TRUE(absl::IsInvalidArgument(files.create(file + "/below").status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files.rename(file, directory)));
    EXPECT_TRUE(absl::IsInvalidArgument(files.rename(directory, file)));
    EXPECT_TRUE(absl::IsInvalidArgument(files.rename(directory, directory + "/itself")));
    EXPECT_TRUE(absl::IsAlreadyExists(files.create_directory(file)));
}

TYPED_TEST(FileConformanceTest, DirectoriesAreMadeListedAndRemoved) {
    FileSystem& files = this->files();
    const std::string directory = this->path("directory");
    EXPECT_OK(files.create_directory(directory));
    EXPECT_OK(files.create_directory(directory));
    EXPECT_THAT(*files.list(directory), IsEmpty());
    for (const std::string name : {"b", "a", "c.tmp"}) {
        EXPECT_OK(write_file(files, directory + "/" + name, name));
    }
    EXPECT_THAT(*files.list(directory), ElementsAre("a", "b", "c.tmp"));
    EXPECT_OK(files.sync_directory(directory));
    EXPECT_TRUE(absl::IsFailedPrecondition(files.remove(directory)));
    for (const std::string name : {"b", "a", "c.tmp"}) {
        EXPECT_OK(files.remove(directory + "/" + name));
    }
    EXPECT_OK(files.remove(directory));
    EXPECT_FALSE(*files.exists(directory));
}

TYPED_TEST(FileConformanceTest, RenameReplacesItsTarget) {
    FileSystem& files = this->files();
    EXPECT_OK(write_file(files, this->path("new"), "new"));
    EXPECT_OK(write_file(files, this->path("current"), "old"));
    auto reader = files.open_for_read(this->path("current"));
    ASSERT_OK(reader);
    EXPECT_OK(files.rename(this->path("new"), this->path("current")));
    EXPECT_EQ(content_of(files, this->path("current")), "new");
    EXPECT_FALSE(*files.exists(this->path("new")));
    char scratch[3];
    EXPECT_EQ(*(*reader)->read(0, 3, scratch), 3U);
    EXPECT_EQ(std::string_view(scratch, 3), "old");
    EXPECT_OK(files.rename(this->path("current"), this->path("current")));
    EXPECT_EQ(content_of(files, this->path("current")), "new");
}

TYPED_TEST(FileConformanceTest, ADirectoryMovesWithItsFiles) {
    FileSystem& files = this->files();
    EXPECT_OK(files.create_directory(this->path("building")));
    EXPECT_OK(write_file(files, this->path("building/file"), "x"));
    EXPECT_OK(files.rename(this->path("building"), this->path("checkpoint")));
    EXPECT_EQ(content_of(files, this->path("checkpoint/file")), "x");
    EXPECT_FALSE(*files.exists(this->path("building")));
}

TYPED_TEST(FileConformanceTest, ALinkIsASecondNameOfOneFile) {
    FileSystem& files = this->files();
    EXPECT_OK(write_file(files, this->path("table"), "content"));
    EXPECT_OK(files.link(this->path("table"), this->path("checkpoint")));
    EXPECT_TRUE(absl::IsAlreadyExists(files.link(this->path("table"), this->path("checkpoint"))));
    EXPECT_OK(files.remove(this->path("table")));
    EXPECT_EQ(content_of(files, this->path("checkpoint")), "content");
}

TYPED_TEST(FileConformanceTest, ARemovedFileStaysReadableWhileItIsOpen) {
    FileSystem& files = this->files();
    EXPECT_OK(write_file(files, this->path("table"), "content"));
    auto reader = files.open_for_read(this->path("table"));
    ASSERT_OK(reader);
    EXPECT_OK(files.remove(this->path("table")));
    char scratch[7];
    EXPECT_EQ(*(*reader)->read(0, 7, scratch), 7U);
    EXPECT_EQ(std::string_view(scratch, 7), "content");
}

TYPED_TEST(FileConformanceTest, TruncationCutsAndExtends) {
    FileSystem& files = this->files();
    EXPECT_OK(write_file(files, this->path("log"), "0123456789"));
    EXPECT_OK(files.truncate(this->path("log"), 4));
    EXPECT_EQ(content_of(files, this->path("log")), "0123");
    EXPECT_OK(files.truncate(this->path("log"), 6));
    EXPECT_EQ(content_of(files, this->path("log")), std::string("0123\0\0", 6));
    auto file = files.open_for_append(this->path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->append("x"));
    EXPECT_OK((*file)->close());
    EXPECT_EQ(content_of(files, this->path("log")), std::string("0123\0\0x", 7));
}

TYPED_TEST(FileConformanceTest, ALockExcludesTheSameProcessUntilItIsReleased) {
    FileSystem& files = this->files();
    auto first = files.lock(this->path("LOCK"));
    ASSERT_OK(first);
    EXPECT_TRUE(absl::IsFailedPrecondition(files.lock(this->path("LOCK")).status()));
    EXPECT_OK(files.lock(this->path("OTHER")).status());
    first->reset();
    EXPECT_OK(files.lock(this->path("LOCK")).status());
}

TYPED_TEST(FileConformanceTest, ASharedLockAdmitsOthersAndExcludesAnExclusiveOne) {
    FileSystem& files = this->files();
    const std::string path = this->path("LOCK");
    EXPECT_TRUE(absl::IsNotFound(files.lock_shared(path).status()));
    EXPECT_FALSE(*files.exists(path));
    auto exclusive = files.lock(path);
    ASSERT_OK(exclusive);
    EXPECT_TRUE(absl::IsFailedPrecondition(files.lock_shared(path).status()));
    exclusive->reset();
    auto first = files.lock_shared(path);
    auto second = files.lock_shared(path);
    ASSERT_OK(first);
    ASSERT_OK(second);
    first->reset();
    EXPECT_TRUE(absl::IsFailedPrecondition(files.lock(path).status()));
    second->reset();
    EXPECT_OK(files.lock(path).status());
}

TYPED_TEST(FileConformanceTest, FreeSpaceIsKnown) {
    EXPECT_GT(*this->files().free_bytes(this->path(".")), 0U);
}

TYPED_TEST(FileConformanceTest, AFileIsReadWholeOrRefusedWhenItIsTooLarge) {
    FileSystem& files = this->files();
    EXPECT_OK(write_file(files, this->path("secret"), "12345"));
    EXPECT_EQ(*read_file(files, this->path("secret"), 5), "12345");
    EXPECT_TRUE(absl::IsOutOfRange(read_file(files, this->path("secret"), 4).status()));
}

TYPED_TEST(FileConformanceTest, ReplacingAFileLeavesNoRemnant) {
    FileSystem& files = this->files();
    EXPECT_OK(replace_file(files, this->path("CURRENT"), "one"));
    EXPECT_OK(replace_file(files, this->path("CURRENT"), "two"));
    EXPECT_EQ(content_of(files, this->path("CURRENT")), "two");
    EXPECT_FALSE(*files.exists(this->path("CURRENT.tmp")));
}

}  // namespace
}  // namespace starling::env
