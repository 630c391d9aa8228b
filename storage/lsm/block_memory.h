#pragma once

// The memory that blocks lie in. A full cache takes and drops a block with every read from the
// disk, and the thread that drops one is seldom the one that made it: a general allocator then
// grows and trims its heaps all the time, and each new page of them is a page fault. Here pieces of
// nearly one size are cut from slabs that last, large ones of huge pages, so that the hot part of a
// cache needs few entries of the processor's translation buffer, too.
//
// 1. A piece belongs to one slab and a slab to one size class, in front of whose pieces it is
// noted.
// 2. A slab without a piece in use goes back, unless it is the only one of a class in use that has
//    room: at most one per class stays empty.
// 3. A new slab is no larger than all others of its class together, so a small cache stays small.
//
// Thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/synchronization/mutex.h"

namespace starling::storage::lsm {

class BlockMemory {
  public:
    BlockMemory() = default;
    BlockMemory(const BlockMemory&) = delete;
    BlockMemory& operator=(const BlockMemory&) = delete;
    // REQUIRES: all pieces were given back.
    ~BlockMemory();

    // Of the process: a block may outlive the engine that read it.
    static BlockMemory& shared();

    // Throws std::bad_alloc. Aligned for eight bytes.
    void* take(size_t bytes);
    // REQUIRES: take(bytes) returned it.
    void give_back(void* piece, size_t bytes);

    // What a piece of so many bytes takes of a slab.
    static size_t piece_bytes(size_t bytes);
    // Of all slabs; larger pieces have none.
    uint64_t slab_bytes() const;

    static constexpr size_t slab_bytes_min = size_t{64} << 10;
    static constexpr size_t slab_bytes_max = size_t{2} << 20;
    // A piece that is larger comes from the general allocator.
    static constexpr size_t piece_bytes_max = size_t{32} << 10;

  private:
    struct Slab;
    struct FreePiece;

    // Slabs that have room, in both directions.
    struct SizeClass {
        mutable absl::Mutex mutex;
        Slab* with_room ABSL_GUARDED_BY(mutex) = nullptr;
        uint64_t slab_bytes ABSL_GUARDED_BY(mutex) = 0;
        uint64_t pieces_used ABSL_GUARDED_BY(mutex) = 0;
    };

    static constexpr size_t class_step = 256;

    static Slab* make_slab(SizeClass& owner, size_t stride)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner.mutex);
    static void destroy_slab(SizeClass& owner, Slab* slab)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner.mutex);
    static void link(SizeClass& owner, Slab* slab) ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner.mutex);
    static void unlink(SizeClass& owner, Slab* slab) ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner.mutex);

    std::array<SizeClass, piece_bytes_max / class_step> classes_;
};

}  // namespace starling::storage::lsm
