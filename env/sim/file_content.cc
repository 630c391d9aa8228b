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

void FileContent::append(std::string_view data) {
    writable().append(data);
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
    writable().resize(size, '\0');
}

void FileContent::sync() {
    durable_size_ = clean_size_ = size();
    cut_tail_.clear();
}

void FileContent::fail_sync() {
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
    return durable_size_ == size() && lost_.empty() && cut_tail_.empty();
}

std::string FileContent::prefix_on_disk(uint64_t size) const {
    std::string result = bytes_->substr(0, size);
    for (const Range& range : lost_) {
        const uint64_t end = std::min<uint64_t>(range.end, size);
        for (uint64_t i = range.begin; i < end; ++i) {
            result[i] = '\0';
        }
    }
    return result;
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
        const uint64_t end = std::min(size(), (begin / sim_sector_size + 1) * sim_sector_size);
        if (random.below(2) == 0) {
            survivors_end = end;
        } else {
            std::fill(result.begin() + static_cast<ptrdiff_t>(begin),
                      result.begin() + static_cast<ptrdiff_t>(end),
                      '\0');
        }
        begin = end;
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
}

void FileContent::lose_power(CrashMode mode, Random& random) {
    STARLING_CHECK(mode != CrashMode::process);
    if (fully_durable()) {
        return;
    }
    switch (mode) {
        case CrashMode::kept:
            return settle(prefix_on_disk(size()));
        case CrashMode::torn:
            return settle(torn(random));
        default:
            return settle(durable());
    }
}

}  // namespace starling::env
