#include "env/sim/file_handles.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace starling::env {

namespace {

uint64_t sector_of(uint64_t offset) {
    return offset / sim_sector_size * sim_sector_size;
}

}  // namespace

absl::Status FileMachine::admit(FileOperation operation, const std::string& path, uint64_t epoch) {
    return epoch == epoch_ ? faults_.admit(operation, path) : simulated_crash(path);
}

absl::Status FileMachine::disk_full(const FileNode& node, const std::string& path) const {
    return base::make_error(absl::StatusCode::kResourceExhausted,
                            base::reason::disk_full,
                            fmt::format("{}: at offset {}: the disk of {} bytes is full",
                                        path,
                                        node.content.size(),
                                        capacity_));
}

absl::Status FileMachine::write(
    FileNode& node, const std::string& path, uint64_t offset, std::string_view data, size_t& done) {
    const uint64_t before = node.disk_bytes();
    const uint64_t reserved = before - std::min(before, offset);
    done = std::min<uint64_t>(data.size(), reserved + free());
    node.content.write(offset, data.substr(0, done));
    if (!node.lost_sectors.empty()) {
        node.lost_sectors.erase(node.lost_sectors.lower_bound(sector_of(offset)),
                                node.lost_sectors.lower_bound(offset + done));
    }
    used_ += node.disk_bytes() - before;
    return done == data.size() ? absl::OkStatus() : disk_full(node, path);
}

absl::Status FileMachine::truncate(FileNode& node, const std::string& path, uint64_t size) {
    const uint64_t before = node.disk_bytes();
    if (size > before && size - before > free()) {
        return disk_full(node, path);
    }
    node.content.truncate(size);
    node.lost_sectors.erase(node.lost_sectors.lower_bound(size), node.lost_sectors.end());
    node.preallocated = 0;
    used_ = used_ + node.disk_bytes() - before;
    return absl::OkStatus();
}

absl::Status FileMachine::preallocate(FileNode& node, const std::string& path, uint64_t bytes) {
    const uint64_t before = node.disk_bytes();
    if (bytes > before && bytes - before > free()) {
        return disk_full(node, path);
    }
    node.preallocated = std::max(node.preallocated, bytes);
    node.content.reserve(bytes);
    used_ += node.disk_bytes() - before;
    return absl::OkStatus();
}

void FileMachine::trim(FileNode& node) {
    const uint64_t before = node.disk_bytes();
    node.preallocated = 0;
    used_ -= before - node.disk_bytes();
}

void FileMachine::opened(FileNode& node) {
    ++node.handles;
    ++open_handles_;
}

void FileMachine::closed(FileNode& node) {
    --node.handles;
    --open_handles_;
    released(node);
}

void FileMachine::released(const FileNode& node) {
    if (!node.is_directory && node.links == 0 && node.handles == 0) {
        used_ -= node.disk_bytes();
    }
}

void FileMachine::begin_epoch(uint64_t used) {
    ++epoch_;
    open_handles_ = 0;
    used_ = used;
    faults_.clear();
}

namespace {

// A node that is open, and stays until closed though it may have lost its name.
class OpenNode {
  public:
    OpenNode(FileMachine& machine, FileNodePtr node, std::string path)
        : machine_(machine),
          node_(std::move(node)),
          path_(std::move(path)),
          epoch_(machine.epoch()) {
        machine_.opened(*node_);
    }
    OpenNode(const OpenNode&) = delete;
    OpenNode& operator=(const OpenNode&) = delete;
    ~OpenNode() {
        if (epoch_ == machine_.epoch()) {
            machine_.closed(*node_);
        }
    }

    absl::Status admit(FileOperation operation) const {
        return machine_.admit(operation, path_, epoch_);
    }
    bool alive() const { return machine_.alive(epoch_); }
    FileMachine& machine() const { return machine_; }
    FileNode& node() const { return *node_; }
    const std::string& path() const { return path_; }

  private:
    FileMachine& machine_;
    const FileNodePtr node_;
    const std::string path_;
    const uint64_t epoch_;
};

class SimWritableFile final : public WritableFile {
  public:
    SimWritableFile(FileMachine& machine, FileNodePtr node, std::string path, uint64_t offset)
        : file_(machine, std::move(node), std::move(path)), offset_(offset) {}
    ~SimWritableFile() override { close().IgnoreError(); }

    absl::Status append(std::string_view data) override;
    absl::Status flush() override;
    absl::Status sync() override;
    absl::Status close() override;
    absl::Status preallocate(uint64_t bytes) override;
    absl::Status fill_ahead(uint64_t size) override;

  private:
    absl::Status usable() const;
    absl::Status write(std::string_view data);

    OpenNode file_;
    // Where the next write begins.
    uint64_t offset_;
    std::string buffer_;
    bool closed_ = false;
};

absl::Status SimWritableFile::usable() const {
    if (closed_) {
        return absl::FailedPreconditionError(fmt::format("{}: used after close", file_.path()));
    }
    return file_.alive() ? absl::OkStatus() : simulated_crash(file_.path());
}

absl::Status SimWritableFile::write(std::string_view data) {
    absl::Status fault = file_.admit(FileOperation::write);
    if (!fault.ok() && !file_.alive()) {
        return fault;
    }
    const std::string_view reaching = fault.ok() ? data : data.substr(0, data.size() / 2);
    size_t done = 0;
    const absl::Status status =
        file_.machine().write(file_.node(), file_.path(), offset_, reaching, done);
    offset_ += done;
    return fault.ok() ? status : fault;
}

absl::Status SimWritableFile::append(std::string_view data) {
    STARLING_RETURN_IF_ERROR(usable());
    const size_t limit = file_.machine().append_buffer_bytes();
    if (buffer_.size() + data.size() > limit) {
        STARLING_RETURN_IF_ERROR(flush());
    }
    if (data.size() >= limit) {
        return data.empty() ? absl::OkStatus() : write(data);
    }
    buffer_.append(data);
    return absl::OkStatus();
}

absl::Status SimWritableFile::flush() {
    STARLING_RETURN_IF_ERROR(usable());
    if (buffer_.empty()) {
        return absl::OkStatus();
    }
    absl::Status status = write(buffer_);
    buffer_.clear();
    return status;
}

absl::Status SimWritableFile::sync() {
    STARLING_RETURN_IF_ERROR(flush());
    absl::Status status = file_.admit(FileOperation::sync);
    if (status.ok()) {
        file_.node().content.sync();
    } else if (file_.alive()) {
        file_.node().content.fail_sync();
    }
    return status;
}

absl::Status SimWritableFile::close() {
    if (closed_) {
        return absl::OkStatus();
    }
    absl::Status status = flush();
    closed_ = true;
    if (file_.alive()) {
        file_.machine().trim(file_.node());
    }
    return status;
}

absl::Status SimWritableFile::preallocate(uint64_t bytes) {
    STARLING_RETURN_IF_ERROR(usable());
    STARLING_RETURN_IF_ERROR(file_.admit(FileOperation::write));
    return file_.machine().preallocate(file_.node(), file_.path(), bytes);
}

absl::Status SimWritableFile::fill_ahead(uint64_t size) {
    STARLING_RETURN_IF_ERROR(usable());
    const uint64_t end = file_.node().content.size();
    if (size <= end) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(file_.admit(FileOperation::write));
    size_t done = 0;
    return file_.machine().write(
        file_.node(), file_.path(), end, std::string(size - end, '\0'), done);
}

class SimRandomAccessFile final : public RandomAccessFile {
  public:
    SimRandomAccessFile(FileMachine& machine, FileNodePtr node, std::string path)
        : file_(machine, std::move(node), std::move(path)) {}

    absl::StatusOr<size_t> read(uint64_t offset, size_t count, char* scratch) const override {
        STARLING_RETURN_IF_ERROR(file_.admit(FileOperation::read));
        const std::string_view bytes = file_.node().content.view();
        if (offset >= bytes.size() || count == 0) {
            return size_t{0};
        }
        const size_t available = std::min<uint64_t>(count, bytes.size() - offset);
        const auto& lost = file_.node().lost_sectors;
        if (const auto sector = lost.lower_bound(sector_of(offset));
            sector != lost.end() && *sector < offset + available) {
            return absl::DataLossError(fmt::format(
                "{}: at offset {}: read: the disk cannot read that", file_.path(), *sector));
        }
        std::memcpy(scratch, bytes.data() + offset, available);
        return available;
    }

    absl::StatusOr<uint64_t> size() const override {
        STARLING_RETURN_IF_ERROR(file_.admit(FileOperation::inspect));
        return file_.node().content.size();
    }

  private:
    OpenNode file_;
};

class SimFileLock final : public FileLock {
  public:
    SimFileLock(FileMachine& machine, FileNodePtr node)
        : machine_(machine), node_(std::move(node)), epoch_(machine.epoch()) {
        node_->locked = true;
    }
    ~SimFileLock() override {
        if (epoch_ == machine_.epoch()) {
            node_->locked = false;
        }
    }

  private:
    FileMachine& machine_;
    const FileNodePtr node_;
    const uint64_t epoch_;
};

class SimSharedFileLock final : public FileLock {
  public:
    SimSharedFileLock(FileMachine& machine, FileNodePtr node)
        : machine_(machine), node_(std::move(node)), epoch_(machine.epoch()) {
        ++node_->shared_locks;
    }
    ~SimSharedFileLock() override {
        if (epoch_ == machine_.epoch()) {
            --node_->shared_locks;
        }
    }

  private:
    FileMachine& machine_;
    const FileNodePtr node_;
    const uint64_t epoch_;
};

}  // namespace

std::unique_ptr<WritableFile> make_sim_writable(FileMachine& machine,
                                                FileNodePtr node,
                                                std::string path,
                                                uint64_t offset) {
    return std::make_unique<SimWritableFile>(machine, std::move(node), std::move(path), offset);
}

std::unique_ptr<RandomAccessFile> make_sim_readable(FileMachine& machine,
                                                    FileNodePtr node,
                                                    std::string path) {
    return std::make_unique<SimRandomAccessFile>(machine, std::move(node), std::move(path));
}

std::unique_ptr<FileLock> make_sim_lock(FileMachine& machine, FileNodePtr node) {
    return std::make_unique<SimFileLock>(machine, std::move(node));
}

std::unique_ptr<FileLock> make_sim_shared_lock(FileMachine& machine, FileNodePtr node) {
    return std::make_unique<SimSharedFileLock>(machine, std::move(node));
}

}  // namespace starling::env
