#include "storage/lsm/block_memory.h"

#include <algorithm>
#include <bit>
#include <new>

#include <sys/mman.h>

#include "base/check.h"

namespace starling::storage::lsm {

struct BlockMemory::FreePiece {
    FreePiece* next;
};

struct BlockMemory::Slab {
    size_t bytes = 0;
    uint32_t capacity = 0;
    uint32_t used = 0;
    // Pieces from here on were never used, so that their pages need not be there yet.
    uint32_t untouched = 0;
    FreePiece* free = nullptr;
    Slab* previous = nullptr;
    Slab* next = nullptr;

    bool has_room() const { return used < capacity; }
    char* pieces() { return reinterpret_cast<char*>(this + 1); }
};

namespace {

// The slab's address, in front of each piece.
constexpr size_t note_bytes = sizeof(void*);

}  // namespace

BlockMemory& BlockMemory::shared() {
    // Never destroyed: blocks of static objects may go later than it would.
    static BlockMemory& memory = *new BlockMemory;
    return memory;
}

BlockMemory::~BlockMemory() {
    for (SizeClass& owner : classes_) {
        absl::MutexLock lock(&owner.mutex);
        STARLING_CHECK(owner.slab_bytes == 0);
    }
}

size_t BlockMemory::piece_bytes(size_t bytes) {
    if (bytes + note_bytes > piece_bytes_max) {
        return bytes;
    }
    return (bytes + note_bytes + class_step - 1) / class_step * class_step;
}

BlockMemory::Slab* BlockMemory::make_slab(SizeClass& owner, size_t stride) {
    const size_t bytes =
        std::bit_floor(std::clamp<size_t>(owner.slab_bytes, slab_bytes_min, slab_bytes_max));
    void* const memory = ::operator new(bytes, std::align_val_t(bytes));
    if (bytes == slab_bytes_max) {
        // A hint.
        ::madvise(memory, bytes, MADV_HUGEPAGE);
    }
    auto* const slab = new (memory) Slab;
    slab->bytes = bytes;
    slab->capacity = static_cast<uint32_t>((bytes - sizeof(Slab)) / stride);
    owner.slab_bytes += bytes;
    link(owner, slab);
    return slab;
}

void BlockMemory::destroy_slab(SizeClass& owner, Slab* slab) {
    unlink(owner, slab);
    const size_t bytes = slab->bytes;
    owner.slab_bytes -= bytes;
    slab->~Slab();
    ::operator delete(slab, std::align_val_t(bytes));
}

void BlockMemory::link(SizeClass& owner, Slab* slab) {
    slab->previous = nullptr;
    slab->next = owner.with_room;
    if (slab->next != nullptr) {
        slab->next->previous = slab;
    }
    owner.with_room = slab;
}

void BlockMemory::unlink(SizeClass& owner, Slab* slab) {
    (slab->previous != nullptr ? slab->previous->next : owner.with_room) = slab->next;
    if (slab->next != nullptr) {
        slab->next->previous = slab->previous;
    }
}

void* BlockMemory::take(size_t bytes) {
    if (bytes + note_bytes > piece_bytes_max) {
        return ::operator new(bytes);
    }
    const size_t stride = piece_bytes(bytes);
    SizeClass& owner = classes_[stride / class_step - 1];
    absl::MutexLock lock(&owner.mutex);
    Slab* const slab = owner.with_room != nullptr ? owner.with_room : make_slab(owner, stride);
    char* piece = reinterpret_cast<char*>(slab->free);
    if (piece != nullptr) {
        slab->free = slab->free->next;
    } else {
        char* const note = slab->pieces() + slab->untouched * stride;
        ++slab->untouched;
        *reinterpret_cast<Slab**>(note) = slab;
        piece = note + note_bytes;
    }
    ++slab->used;
    ++owner.pieces_used;
    if (!slab->has_room()) {
        unlink(owner, slab);
    }
    return piece;
}

void BlockMemory::give_back(void* piece, size_t bytes) {
    if (bytes + note_bytes > piece_bytes_max) {
        ::operator delete(piece);
        return;
    }
    SizeClass& owner = classes_[piece_bytes(bytes) / class_step - 1];
    absl::MutexLock lock(&owner.mutex);
    Slab* const slab = *reinterpret_cast<Slab**>(static_cast<char*>(piece) - note_bytes);
    STARLING_CHECK(slab->used > 0);
    if (!slab->has_room()) {
        link(owner, slab);
    }
    slab->free = new (piece) FreePiece{.next = slab->free};
    --slab->used;
    --owner.pieces_used;
    if (slab->used > 0) {
        return;
    }
    const bool is_only_one = owner.with_room == slab && slab->next == nullptr;
    if (!is_only_one || owner.pieces_used == 0) {
        destroy_slab(owner, slab);
    }
    // The one that was kept for those to come.
    if (owner.pieces_used == 0) {
        while (owner.with_room != nullptr) {
            destroy_slab(owner, owner.with_room);
        }
    }
}

uint64_t BlockMemory::slab_bytes() const {
    uint64_t bytes = 0;
    for (const SizeClass& owner : classes_) {
        absl::MutexLock lock(&owner.mutex);
        bytes += owner.slab_bytes;
    }
    return bytes;
}

}  // namespace starling::storage::lsm
