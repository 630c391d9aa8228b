#include "tests/sim/file_damage.h"

#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::sim {

namespace {

// At once durable, and on a copy, as the disk itself may be full or meet faults.
void rewrite(const std::string& path, std::string_view content, env::SimFileSystem& disk) {
    const auto copy = disk.clone();
    copy->set_capacity(env::SimFileSystemOptions().capacity);
    auto file = copy->create(path);
    STARLING_CHECK(file.ok());
    STARLING_CHECK((*file)->append(content).ok() && (*file)->sync().ok() && (*file)->close().ok());
    STARLING_CHECK(copy->sync_directory(path.substr(0, path.rfind('/'))).ok());
    disk.swap_for(*copy);
}

void remove(const std::string& path, env::SimFileSystem& disk) {
    const auto copy = disk.clone();
    if (!copy->remove(path).ok()) return;
    STARLING_CHECK(copy->sync_directory(path.substr(0, path.rfind('/'))).ok());
    disk.swap_for(*copy);
}

}  // namespace

std::string to_string(const FileDamage& damage) {
    switch (damage.kind) {
        case FileDamage::Kind::altered:
            return fmt::format(
                "{} B from {} of {} are altered", damage.bytes.size(), damage.offset, damage.path);
        case FileDamage::Kind::unreadable:
            return fmt::format("the sector at {} of {} is unreadable", damage.offset, damage.path);
        case FileDamage::Kind::cut_off:
            return fmt::format("{} ends at {}", damage.path, damage.offset);
        case FileDamage::Kind::missing:
            return fmt::format("{} is missing", damage.path);
    }
    return "unknown";
}

FileDamage flipped_bit(std::string path, std::string_view content, uint64_t offset, unsigned bit) {
    const char sound = content[offset];
    const char flipped = static_cast<char>(static_cast<unsigned char>(sound) ^ (1U << bit));
    return {.path = std::move(path),
            .kind = FileDamage::Kind::altered,
            .offset = offset,
            .bytes = std::string(1, flipped),
            .sound = std::string(1, sound)};
}

void inflict(const FileDamage& damage, env::SimFileSystem& disk) {
    switch (damage.kind) {
        case FileDamage::Kind::altered:
            return disk.damage(damage.path, damage.offset, damage.bytes).IgnoreError();
        case FileDamage::Kind::unreadable:
            return disk.set_readable(damage.path, damage.offset, false).IgnoreError();
        case FileDamage::Kind::cut_off:
            return rewrite(
                damage.path, std::string_view(damage.sound).substr(0, damage.offset), disk);
        case FileDamage::Kind::missing:
            return remove(damage.path, disk);
    }
}

void undo(const FileDamage& damage, env::SimFileSystem& disk) {
    switch (damage.kind) {
        case FileDamage::Kind::altered:
            return disk.damage(damage.path, damage.offset, damage.sound).IgnoreError();
        case FileDamage::Kind::unreadable:
            return disk.set_readable(damage.path, damage.offset, true).IgnoreError();
        case FileDamage::Kind::cut_off:
        case FileDamage::Kind::missing:
            return rewrite(damage.path, damage.sound, disk);
    }
}

}  // namespace starling::sim
