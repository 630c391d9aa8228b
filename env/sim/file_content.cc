#include "env/sim/file_content.h"

#include <algorithm>

#include "base/check.h"

namespace starling::env {

std::string& FileContent::writable() {
    if (bytes_.use_count() > 1) {
        bytes_ = std::make_shared<std::string>(*bytes_);
    }
    return *bytes_;
}

void FileContent::write(uint64_t offset, std::string_view data) {
    const uint64_t end = offset + data.size();
    if (offset < clean_size_ && offset < end) {
        note_overwritten(offset, std::min(end, clean_size_));
    }
    std::string& bytes = writable();
    bytes.resize(std::max<uint64_t>(bytes.size(), end));
    std::copy(data.begin(), data.end(), bytes.begin() + static_cast<ptrdiff_t>(offset));
}

void FileContent::note_overwritten(uint64_t begin, uint64_t end) {
    for (uint64_t sector = begin / sim_sector_size * sim_sector_size; sector < end;
         sector += sim_sector_size) {
        const auto [noted, is_new] = overwritten_.try_emplace(sector);
        noted->second.dirty = true;
        if (is_new) {
            noted->second.on_disk =
                take_from_disk(sector, std::min(sector + sim_sector_size, clean_size_));
        }
    }
}

// What the disk has there, which lost_ describes no longer. REQUIRES: nothing of it is overwritten.
std::string FileContent::take_from_disk(uint64_t begin, uint64_t end) {
    std::string result = bytes_->substr(begin, end - begin);
    std::vector<Range> rest;
    for (const Range& range : lost_) {
        for (uint64_t i = std::max(range.begin, begin); i < std::min(range.end, end); ++i) {
            result[i - begin] = '\0';
        }
        if (range.begin < std::min(range.end, begin)) {
            rest.push_back({range.begin, std::min(range.end, begin)});
        }
        if (std::max(range.begin, end) < range.end) {
            rest.push_back({std::max(range.begin, end), range.end});
        }
    }
    lost_ = std::move(rest);
    return result;
}

void FileContent::truncate(uint64_t size) {
    if (size < durable_size_) {
        std::string on_disk = prefix_on_disk(durable_size_);
        cut_tail_.insert(0, on_disk, size, std::string::npos);
        durable_size_ = size;
    }
    clean_size_ = std::min(clean_size_, size);
    while (!lost_.empty() && lost_.back().begin >= size) {
        lost_.pop_back();
    }
    if (!lost_.empty()) {
        lost_.back().end = std::min(lost_.back().end, size);
    }
    overwritten_.erase(overwritten_.lower_bound(size), overwritten_.end());
    if (!overwritten_.empty()) {
        const auto& [begin, last] = *overwritten_.rbegin();
        overwritten_.rbegin()->second.on_disk.resize(
            std::min<uint64_t>(last.on_disk.size(), size - begin));
    }
    writable().resize(size, '\0');
}

void FileContent::sync() {
    durable_size_ = clean_size_ = size();
    cut_tail_.clear();
    std::erase_if(overwritten_, [](const auto& sector) { return sector.second.dirty; });
}

void FileContent::fail_sync() {
    for (auto& [begin, sector] : overwritten_) {
        sector.dirty = false;
    }
    if (clean_size_ < size()) {
        lost_.push_back({clean_size_, size()});
        clean_size_ = size();
    }
}

void FileContent::damage(uint64_t offset, std::string_view data) {
    STARLING_CHECK(offset <= size() && data.size() <= size() - offset);
    writable().replace(offset, data.size(), data);
}

bool FileContent::fully_durable() const {
    return durable_size_ == size() && lost_.empty() && cut_tail_.empty() && overwritten_.empty();
}

std::string FileContent::prefix_on_disk(uint64_t size) const {
    std::string result = bytes_->substr(0, size);
    for (const Range& range : lost_) {
        const uint64_t end = std::min<uint64_t>(range.end, size);
        for (uint64_t i = range.begin; i < end; ++i) {
            result[i] = '\0';
        }
    }
    for (auto sector = overwritten_.begin(); sector != overwritten_.end(); ++sector) {
        const auto& [begin, overwritten] = *sector;
        if (begin < size) {
            result.replace(begin,
                           std::min<uint64_t>(overwritten.on_disk.size(), size - begin),
                           overwritten.on_disk,
                           0,
                           size - begin);
        }
    }
    return result;
}

// As if the new bytes of an overwritten sector had reached the disk.
void FileContent::show(std::string& disk, OverwrittenSectors::const_iterator sector) const {
    const auto& [begin, overwritten] = *sector;
    if (overwritten.dirty) {
        disk.replace(begin, overwritten.on_disk.size(), *bytes_, begin, overwritten.on_disk.size());
    }
}

std::string FileContent::durable() const {
    return prefix_on_disk(durable_size_) + cut_tail_;
}

std::string FileContent::torn(Random& random) const {
    // A truncation and what was appended after it reach the disk in this order.
    if (!cut_tail_.empty() && random.below(2) == 0) {
        return durable();
    }
    std::string result = prefix_on_disk(size());
    uint64_t survivors_end = durable_size_;
    for (uint64_t begin = clean_size_; begin < size();) {
        const uint64_t sector = begin / sim_sector_size * sim_sector_size;
        const uint64_t end = std::min(size(), sector + sim_sector_size);
        if (random.below(2) == 0) {
            survivors_end = end;
            if (const auto below = overwritten_.find(sector); below != overwritten_.end()) {
                show(result, below);
            }
        } else {
            std::fill(result.begin() + static_cast<ptrdiff_t>(begin),
                      result.begin() + static_cast<ptrdiff_t>(end),
                      '\0');
        }
        begin = end;
    }
    // A sector in which appended bytes follow overwritten ones has been decided above.
    const uint64_t whole_end =
        clean_size_ < size() ? clean_size_ / sim_sector_size * sim_sector_size : size();
    for (auto sector = overwritten_.begin();
         sector != overwritten_.end() && sector->first < whole_end;
         ++sector) {
        if (sector->second.dirty && random.below(2) == 0) {
            show(result, sector);
        }
    }
    // The file's size travels apart from its data: not at all, as far as the data, or ahead of it.
    switch (random.below(4)) {
        case 0:
            result.resize(durable_size_);
            break;
        case 1:
            break;
        default:
            result.resize(survivors_end);
    }
    return result;
}

void FileContent::settle(std::string content) {
    bytes_ = std::make_shared<std::string>(std::move(content));
    durable_size_ = clean_size_ = size();
    lost_.clear();
    cut_tail_.clear();
    overwritten_.clear();
}

void FileContent::lose_power(CrashMode mode, Random& random) {
    STARLING_CHECK(mode != CrashMode::process);
    if (fully_durable()) {
        return;
    }
    switch (mode) {
        case CrashMode::kept: {
            std::string kept = prefix_on_disk(size());
            for (auto sector = overwritten_.begin(); sector != overwritten_.end(); ++sector) {
                show(kept, sector);
            }
            return settle(std::move(kept));
        }
        case CrashMode::torn:
            return settle(torn(random));
        default:
            return settle(durable());
    }
}

}  // namespace starling::env
