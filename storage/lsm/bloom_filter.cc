#include "storage/lsm/bloom_filter.h"

#include <algorithm>

#include "base/hash.h"
#include "base/planted.h"

namespace starling::storage::lsm {

namespace {

constexpr size_t line_bytes = 64;
constexpr int bits_per_line_log2 = 9;
static_assert(line_bytes * 8 == 1u << bits_per_line_log2);
// Seven pieces of nine bits fit into 64.
constexpr int probe_count = 7;

size_t line_of(uint64_t hash, size_t line_count) {
    return static_cast<size_t>(((hash >> 32) * line_count) >> 32);
}

// The line uses the high bits; multiplying by an odd number spreads the low ones over all pieces.
uint64_t probes_of(uint64_t hash) {
    return hash * 0x9e3779b97f4a7c15u ^ hash << 17;
}

}  // namespace

uint64_t bloom_hash(std::string_view user_key) {
    return base::xxh3_64(user_key);
}

void BloomFilterBuilder::add(std::string_view user_key) {
    const uint64_t hash = bloom_hash(user_key);
    if (hashes_.empty() || hashes_.back() != hash) {
        hashes_.push_back(hash);
    }
}

std::string BloomFilterBuilder::finish() const {
    if (hashes_.empty() || bits_per_key_ == 0) {
        return {};
    }
    const size_t bits = hashes_.size() * bits_per_key_;
    const size_t line_count = std::max<size_t>(1, (bits + line_bytes * 8 - 1) / (line_bytes * 8));
    std::string filter(line_count * line_bytes, '\0');
    for (const uint64_t hash : hashes_) {
        char* const line = filter.data() + line_of(hash, line_count) * line_bytes;
        uint64_t probes = probes_of(hash);
        for (int i = 0; i < probe_count; ++i, probes >>= bits_per_line_log2) {
            const size_t bit = probes & ((1u << bits_per_line_log2) - 1);
            line[bit / 8] = static_cast<char>(static_cast<uint8_t>(line[bit / 8]) | 1u << bit % 8);
        }
    }
    return filter;
}

bool bloom_may_contain(std::string_view filter, uint64_t hash) {
    if (STARLING_PLANTED(filter_false_negative) && hash % 61 == 0) {
        return false;
    }
    const size_t line_count = filter.size() / line_bytes;
    if (line_count == 0 || filter.size() % line_bytes != 0) {
        return true;
    }
    const char* const line = filter.data() + line_of(hash, line_count) * line_bytes;
    uint64_t probes = probes_of(hash);
    for (int i = 0; i < probe_count; ++i, probes >>= bits_per_line_log2) {
        const size_t bit = probes & ((1u << bits_per_line_log2) - 1);
        if ((static_cast<uint8_t>(line[bit / 8]) & 1u << bit % 8) == 0) {
            return false;
        }
    }
    return true;
}

}  // namespace starling::storage::lsm
