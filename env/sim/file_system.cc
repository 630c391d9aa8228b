#include "env/sim/file_system.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"

namespace starling::env {

namespace {

// For crashes that leave nothing to chance.
class NoRandom final : public Random {
  public:
    uint64_t next() override { return 0; }
};

bool reaches(const FileNode& from, const FileNodePtr& to) {
    return &from == to.get() ||
           std::any_of(from.entries.begin(), from.entries.end(), [&](const auto& entry) {
               return reaches(*entry.second, to);
           });
}

}  // namespace

SimFileSystem::SimFileSystem(SimFileSystemOptions options)
    : machine_(options.capacity, options.append_buffer_bytes) {}

absl::StatusOr<FileNodePtr> SimFileSystem::find_or_create(const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(FileTree::Place at, tree_.place(path));
    if (at.node != nullptr) {
        return tree_.file(path);
    }
    auto node = std::make_shared<FileNode>();
    tree_.set(at, node);
    return node;
}

absl::StatusOr<std::unique_ptr<WritableFile>> SimFileSystem::create(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, path));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, find_or_create(path));
    STARLING_RETURN_IF_ERROR(machine_.truncate(*node, path, 0));
    return make_sim_writable(machine_, std::move(node), path, 0);
}

absl::StatusOr<std::unique_ptr<WritableFile>> SimFileSystem::open_for_append(
    const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, path));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, find_or_create(path));
    const uint64_t end = node->content.size();
    return make_sim_writable(machine_, std::move(node), path, end);
}

absl::StatusOr<std::unique_ptr<WritableFile>> SimFileSystem::recycle(const std::string& from,
                                                                     const std::string& to) {
    STARLING_RETURN_IF_ERROR(rename(from, to));
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, to));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, tree_.file(to));
    return make_sim_writable(machine_, std::move(node), to, 0);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> SimFileSystem::open_for_read(
    const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, path));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, tree_.file(path));
    return make_sim_readable(machine_, std::move(node), path);
}

absl::StatusOr<bool> SimFileSystem::exists(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::inspect, path));
    const auto at = tree_.place(path);
    return at.ok() && at->node != nullptr;
}

absl::StatusOr<uint64_t> SimFileSystem::file_size(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::inspect, path));
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.file(path));
    return node->content.size();
}

absl::StatusOr<std::vector<std::string>> SimFileSystem::list(const std::string& directory) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::inspect, directory));
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.directory(directory));
    std::vector<std::string> names;
    for (const auto& [name, child] : node->entries) {
        names.push_back(name);
    }
    return names;
}

absl::Status SimFileSystem::create_directory(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, path));
    STARLING_ASSIGN_OR_RETURN(const FileTree::Place at, tree_.place(path));
    if (at.node != nullptr) {
        return at.node->is_directory ? absl::OkStatus()
                                     : absl::AlreadyExistsError(fmt::format("{}: is a file", path));
    }
    auto node = std::make_shared<FileNode>();
    node->is_directory = true;
    tree_.set(at, std::move(node));
    return absl::OkStatus();
}

absl::Status SimFileSystem::remove(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::remove, path));
    STARLING_ASSIGN_OR_RETURN(const FileTree::Place at, tree_.place(path));
    if (at.node == nullptr) {
        return absl::NotFoundError(fmt::format("{}: no such file", path));
    }
    if (at.directory == nullptr || !at.node->entries.empty()) {
        return absl::FailedPreconditionError(fmt::format("{}: the directory is not empty", path));
    }
    tree_.set(at, nullptr);
    machine_.released(*at.node);
    return absl::OkStatus();
}

absl::Status SimFileSystem::rename(const std::string& from, const std::string& to) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::rename, from));
    STARLING_ASSIGN_OR_RETURN(const FileTree::Place source, tree_.place(from));
    STARLING_ASSIGN_OR_RETURN(const FileTree::Place target, tree_.place(to));
    if (source.node == nullptr) {
        return absl::NotFoundError(fmt::format("{}: no such file", from));
    }
    if (source.directory == nullptr || target.directory == nullptr) {
        return absl::InvalidArgumentError(fmt::format("{}: the root stays where it is", from));
    }
    if (source.node == target.node) {
        return absl::OkStatus();
    }
    if (reaches(*source.node, target.directory)) {
        return absl::InvalidArgumentError(fmt::format("{}: cannot move into itself: {}", from, to));
    }
    if (target.node != nullptr) {
        if (source.node->is_directory != target.node->is_directory) {
            return absl::InvalidArgumentError(
                fmt::format("{}: a file and a directory cannot replace each other: {}", from, to));
        }
        if (!target.node->entries.empty()) {
            return absl::FailedPreconditionError(fmt::format("{}: the directory is not empty", to));
        }
    }
    tree_.move(source, target);
    if (target.node != nullptr) {
        machine_.released(*target.node);
    }
    return absl::OkStatus();
}

absl::Status SimFileSystem::link(const std::string& from, const std::string& to) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::link, from));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, tree_.file(from));
    STARLING_ASSIGN_OR_RETURN(const FileTree::Place target, tree_.place(to));
    if (target.node != nullptr) {
        return absl::AlreadyExistsError(
            fmt::format("{}: cannot be a link to {}: it exists", to, from));
    }
    tree_.set(target, std::move(node));
    return absl::OkStatus();
}

absl::Status SimFileSystem::truncate(const std::string& path, uint64_t size) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::truncate, path));
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.file(path));
    return machine_.truncate(*node, path, size);
}

absl::Status SimFileSystem::sync_directory(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::sync_directory, path));
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.directory(path));
    tree_.sync(node);
    return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> SimFileSystem::lock(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, path));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, find_or_create(path));
    if (node->locked || node->shared_locks > 0) {
        return absl::FailedPreconditionError(fmt::format("{}: locked by another process", path));
    }
    return make_sim_lock(machine_, std::move(node));
}

absl::StatusOr<std::unique_ptr<FileLock>> SimFileSystem::lock_shared(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::open, path));
    STARLING_ASSIGN_OR_RETURN(FileNodePtr node, tree_.file(path));
    if (node->locked) {
        return absl::FailedPreconditionError(fmt::format("{}: locked by another process", path));
    }
    return make_sim_shared_lock(machine_, std::move(node));
}

absl::StatusOr<uint64_t> SimFileSystem::free_bytes(const std::string& path) {
    STARLING_RETURN_IF_ERROR(machine_.admit(FileOperation::inspect, path));
    STARLING_ASSIGN_OR_RETURN(const FileTree::Place at, tree_.place(path));
    if (at.node == nullptr) {
        return absl::NotFoundError(fmt::format("{}: no such file or directory", path));
    }
    return machine_.free();
}

uint64_t SimFileSystem::count_used() const {
    uint64_t used = 0;
    for (const FileNodePtr& node : tree_.files()) {
        used += node->disk_bytes();
    }
    return used;
}

void SimFileSystem::crash(CrashMode mode, Random& random) {
    if (mode == CrashMode::process) {
        tree_.end_processes();
    } else {
        tree_.lose_power(mode, random);
    }
    machine_.begin_epoch(count_used());
}

absl::Status SimFileSystem::damage(const std::string& path,
                                   uint64_t offset,
                                   std::string_view bytes) {
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.file(path));
    const uint64_t size = node->content.size();
    if (offset > size || bytes.size() > size - offset) {
        return absl::OutOfRangeError(fmt::format("{}: has {} bytes", path, size));
    }
    node->content.damage(offset, bytes);
    return absl::OkStatus();
}

absl::Status SimFileSystem::flip_bit(const std::string& path, uint64_t offset, unsigned bit) {
    STARLING_CHECK(bit < 8);
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.file(path));
    const std::string_view bytes = node->content.view();
    if (offset >= bytes.size()) {
        return absl::OutOfRangeError(fmt::format("{}: has {} bytes", path, bytes.size()));
    }
    const char flipped = static_cast<char>(static_cast<unsigned char>(bytes[offset]) ^ (1U << bit));
    return damage(path, offset, std::string_view(&flipped, 1));
}

absl::Status SimFileSystem::set_readable(const std::string& path,
                                         uint64_t offset,
                                         bool is_readable) {
    STARLING_ASSIGN_OR_RETURN(const FileNodePtr node, tree_.file(path));
    const uint64_t size = node->content.size();
    if (offset >= size) {
        return absl::OutOfRangeError(fmt::format("{}: has {} bytes", path, size));
    }
    const uint64_t sector = offset / sim_sector_size * sim_sector_size;
    if (is_readable) {
        node->lost_sectors.erase(sector);
    } else {
        node->lost_sectors.insert(sector);
    }
    return absl::OkStatus();
}

std::optional<std::string> SimFileSystem::durable_bytes(const std::string& path) const {
    const FileNodePtr node = tree_.durable_file(path);
    return node == nullptr ? std::nullopt : std::optional(node->content.durable());
}

std::unique_ptr<SimFileSystem> SimFileSystem::clone() const {
    auto result = std::make_unique<SimFileSystem>(SimFileSystemOptions{
        .capacity = machine_.capacity(), .append_buffer_bytes = machine_.append_buffer_bytes()});
    result->tree_ = tree_.clone();
    result->machine_.begin_epoch(result->count_used());
    return result;
}

std::unique_ptr<SimFileSystem> SimFileSystem::clone_after_crash() const {
    auto result = clone();
    NoRandom random;
    result->crash(CrashMode::lost, random);
    return result;
}

void SimFileSystem::swap_for(const SimFileSystem& other) {
    tree_ = other.tree_.clone();
    machine_.begin_epoch(count_used());
}

}  // namespace starling::env
