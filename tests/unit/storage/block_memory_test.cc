#include "storage/lsm/block_memory.h"

#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace starling::storage::lsm {
namespace {

// A piece that is filled with one letter from its first byte to its last.
struct Filled {
    Filled(BlockMemory& memory, size_t size, char with)
        : bytes(size), letter(with), piece(static_cast<char*>(memory.take(size))) {
        std::memset(piece, letter, bytes);
    }
    bool is_whole() const {
        for (size_t i = 0; i < bytes; ++i) {
            if (piece[i] != letter) {
                return false;
            }
        }
        return true;
    }

    size_t bytes;
    char letter;
    char* piece;
};

RC_GTEST_PROP(BlockMemoryTest, PiecesNeverOverlapAndAllOfThemGoBack, ()) {
    BlockMemory memory;
    std::vector<Filled> pieces;
    const auto steps = *rc::gen::container<std::vector<std::pair<uint32_t, bool>>>(
        rc::gen::pair(rc::gen::inRange<uint32_t>(8, BlockMemory::piece_bytes_max + 1000),
                      rc::gen::arbitrary<bool>()));
    for (const auto& [number, is_taken] : steps) {
        if (is_taken || pieces.empty()) {
            pieces.emplace_back(memory, number, static_cast<char>('a' + number % 26));
            RC_ASSERT(reinterpret_cast<uintptr_t>(pieces.back().piece) % 8 == 0u);
        } else {
            const size_t index = number % pieces.size();
            RC_ASSERT(pieces[index].is_whole());
            memory.give_back(pieces[index].piece, pieces[index].bytes);
            pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(index));
        }
    }
    for (const Filled& filled : pieces) {
        RC_ASSERT(filled.is_whole());
        memory.give_back(filled.piece, filled.bytes);
    }
    RC_ASSERT(memory.slab_bytes() == 0u);
}

TEST(BlockMemoryTest, AFewBlocksTakeASmallSlab) {
    BlockMemory memory;
    void* const piece = memory.take(4200);
    EXPECT_EQ(memory.slab_bytes(), BlockMemory::slab_bytes_min);
    memory.give_back(piece, 4200);
    EXPECT_EQ(memory.slab_bytes(), 0u);
}

TEST(BlockMemoryTest, ManyBlocksLieInLargeSlabsThatHoldLittleElse) {
    BlockMemory memory;
    std::vector<void*> pieces;
    constexpr size_t bytes = 4200;
    constexpr size_t count = 10'000;
    for (size_t i = 0; i < count; ++i) {
        pieces.push_back(memory.take(bytes));
    }
    EXPECT_LT(memory.slab_bytes(),
              count * BlockMemory::piece_bytes(bytes) * 101 / 100 + BlockMemory::slab_bytes_max);
    for (void* const piece : pieces) {
        memory.give_back(piece, bytes);
    }
    EXPECT_EQ(memory.slab_bytes(), 0u);
}

TEST(BlockMemoryTest, APieceThatGoesMakesRoomForTheNext) {
    BlockMemory memory;
    std::vector<void*> pieces;
    for (int i = 0; i < 1000; ++i) {
        pieces.push_back(memory.take(4200));
    }
    const uint64_t before = memory.slab_bytes();
    for (int round = 0; round < 10; ++round) {
        for (void*& piece : pieces) {
            memory.give_back(piece, 4200);
            piece = memory.take(4100);
            memory.give_back(piece, 4100);
            piece = memory.take(4200);
        }
    }
    EXPECT_LE(memory.slab_bytes(), before);
    for (void* const piece : pieces) {
        memory.give_back(piece, 4200);
    }
}

// A cache whose blocks become larger gives back what the smaller ones took.
TEST(BlockMemoryTest, SlabsGoBackWhileOtherPiecesOfTheirSizeAreInUse) {
    BlockMemory memory;
    void* const kept = memory.take(1000);
    std::vector<void*> pieces;
    for (int i = 0; i < 10'000; ++i) {
        pieces.push_back(memory.take(1000));
    }
    for (void* const piece : pieces) {
        memory.give_back(piece, 1000);
    }
    EXPECT_LE(memory.slab_bytes(), BlockMemory::slab_bytes_max + BlockMemory::slab_bytes_min);
    memory.give_back(kept, 1000);
    EXPECT_EQ(memory.slab_bytes(), 0u);
}

TEST(BlockMemoryTest, ThreadsGiveBackWhatOthersTook) {
    BlockMemory memory;
    std::vector<Filled> pieces;
    for (size_t i = 0; i < 4000; ++i) {
        pieces.emplace_back(memory, 100 + i, static_cast<char>('a' + i % 26));
    }
    std::vector<std::thread> threads;
    for (size_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            for (size_t i = thread; i < pieces.size(); i += 4) {
                EXPECT_TRUE(pieces[i].is_whole());
                memory.give_back(pieces[i].piece, pieces[i].bytes);
                const Filled another(memory, 200 + i % 64, static_cast<char>('a' + thread));
                EXPECT_TRUE(another.is_whole());
                memory.give_back(another.piece, another.bytes);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(memory.slab_bytes(), 0u);
}

}  // namespace
}  // namespace starling::storage::lsm
