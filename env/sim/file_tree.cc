#include "env/sim/file_tree.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"

namespace starling::env {

namespace {

std::vector<std::string_view> components(std::string_view path) {
    std::vector<std::string_view> result;
    while (!path.empty()) {
        const size_t slash = path.find('/');
        const std::string_view part = path.substr(0, slash);
        if (!part.empty() && part != ".") {
            result.push_back(part);
        }
        path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    }
    return result;
}

FileNodePtr find(const FileEntries& entries, std::string_view name) {
    const auto found = entries.find(name);
    return found == entries.end() ? nullptr : found->second;
}

void assign(FileEntries& entries, const std::string& name, const FileNodePtr& node) {
    if (node == nullptr) {
        entries.erase(name);
    } else {
        entries[name] = node;
    }
}

// Copies a graph of nodes: a node reached twice is copied once.
class Cloner {
  public:
    FileNodePtr copy(const FileNodePtr& node) {
        if (node == nullptr) {
            return nullptr;
        }
        const auto [found, is_new] = copies_.try_emplace(node.get(), std::make_shared<FileNode>());
        const FileNodePtr result = found->second;
        if (is_new) {
            result->is_directory = node->is_directory;
            result->content = node->content;
            result->lost_sectors = node->lost_sectors;
            result->links = node->links;
            result->entries = copy(node->entries);
            result->durable_entries = copy(node->durable_entries);
        }
        return result;
    }

  private:
    FileEntries copy(const FileEntries& entries) {
        FileEntries result;
        for (const auto& [name, node] : entries) {
            result.emplace(name, copy(node));
        }
        return result;
    }

    // Looked up by address, never iterated.
    std::map<const FileNode*, FileNodePtr> copies_;
};

void collect(const FileNodePtr& node,
             std::set<const FileNode*>& seen,
             std::vector<FileNodePtr>& files) {
    for (const auto& [name, child] : node->entries) {
        if (!seen.insert(child.get()).second) {
            continue;
        }
        if (child->is_directory) {
            collect(child, seen, files);
        } else {
            files.push_back(child);
        }
    }
}

// After a power loss: what is on the disk is all there is.
void settle(const FileNodePtr& node,
            CrashMode mode,
            Random& random,
            std::set<const FileNode*>& seen) {
    node->entries = node->durable_entries;
    for (const auto& [name, child] : node->entries) {
        if (seen.insert(child.get()).second) {
            child->links = 0;
            child->handles = 0;
            child->locked = false;
            child->shared_locks = 0;
            child->preallocated = 0;
            if (child->is_directory) {
                settle(child, mode, random, seen);
            } else {
                child->content.lose_power(mode, random);
            }
        }
        ++child->links;
    }
}

}  // namespace

FileTree::FileTree() : root_(std::make_shared<FileNode>()) {
    root_->is_directory = true;
}

absl::StatusOr<FileTree::Place> FileTree::place(const std::string& path) const {
    const std::vector<std::string_view> parts = components(path);
    if (parts.empty()) {
        return Place{nullptr, "", root_};
    }
    FileNodePtr directory = root_;
    for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i] == "..") {
            return absl::InvalidArgumentError(fmt::format("{}: '..' is not simulated", path));
        }
        if (i + 1 == parts.size()) {
            break;
        }
        directory = find(directory->entries, parts[i]);
        if (directory == nullptr) {
            return absl::NotFoundError(fmt::format("{}: no such directory", path));
        }
        if (!directory->is_directory) {
            return absl::InvalidArgumentError(
                fmt::format("{}: a part of the path is a file", path));
        }
    }
    FileNodePtr node = find(directory->entries, parts.back());
    return Place{std::move(directory), std::string(parts.back()), std::move(node)};
}

absl::StatusOr<FileNodePtr> FileTree::file(const std::string& path) const {
    STARLING_ASSIGN_OR_RETURN(Place found, place(path));
    if (found.node == nullptr) {
        return absl::NotFoundError(fmt::format("{}: no such file", path));
    }
    if (found.node->is_directory) {
        return absl::InvalidArgumentError(fmt::format("{}: not a regular file", path));
    }
    return std::move(found.node);
}

absl::StatusOr<FileNodePtr> FileTree::directory(const std::string& path) const {
    STARLING_ASSIGN_OR_RETURN(Place found, place(path));
    if (found.node == nullptr) {
        return absl::NotFoundError(fmt::format("{}: no such directory", path));
    }
    if (!found.node->is_directory) {
        return absl::InvalidArgumentError(fmt::format("{}: not a directory", path));
    }
    return std::move(found.node);
}

FileNodePtr FileTree::durable_file(const std::string& path) const {
    FileNodePtr node = root_;
    for (const std::string_view part : components(path)) {
        node = find(node->durable_entries, part);
        if (node == nullptr) {
            return nullptr;
        }
    }
    return node->is_directory ? nullptr : node;
}

void FileTree::set(const Place& at, FileNodePtr node) {
    perform({{at.directory, at.name, std::move(node)}});
}

void FileTree::move(const Place& from, const Place& to) {
    perform({{from.directory, from.name, nullptr}, {to.directory, to.name, from.node}});
}

void FileTree::perform(Operation operation) {
    for (const Change& change : operation) {
        FileEntries& entries = change.directory->entries;
        if (const FileNodePtr before = find(entries, change.name); before != nullptr) {
            STARLING_CHECK(before->links > 0);
            --before->links;
        }
        if (change.node != nullptr) {
            ++change.node->links;
        }
        assign(entries, change.name, change.node);
    }
    pending_.push_back(std::move(operation));
}

void FileTree::commit(const Operation& operation) {
    for (const Change& change : operation) {
        assign(change.directory->durable_entries, change.name, change.node);
    }
}

void FileTree::commit_if(const std::vector<bool>& chosen) {
    std::vector<Operation> rest;
    for (size_t i = 0; i < pending_.size(); ++i) {
        if (chosen[i]) {
            commit(pending_[i]);
        } else {
            rest.push_back(std::move(pending_[i]));
        }
    }
    pending_ = std::move(rest);
}

void FileTree::sync(const FileNodePtr& directory) {
    std::vector<bool> chosen(pending_.size());
    for (size_t i = 0; i < pending_.size(); ++i) {
        const Operation& operation = pending_[i];
        chosen[i] = std::any_of(operation.begin(), operation.end(), [&](const Change& change) {
            return change.directory == directory;
        });
        // A move between directories brings along what came before it: the journal is one.
        if (chosen[i] && operation.front().directory != operation.back().directory) {
            std::fill_n(chosen.begin(), i, true);
        }
    }
    commit_if(chosen);
}

std::vector<bool> FileTree::survivors(CrashMode mode, Random& random) const {
    std::vector<bool> chosen(pending_.size(), mode == CrashMode::kept);
    if (mode == CrashMode::torn && !pending_.empty()) {
        if (random.below(2) == 0) {
            std::fill_n(chosen.begin(), random.below(pending_.size() + 1), true);
        } else {
            for (size_t i = 0; i < chosen.size(); ++i) {
                chosen[i] = random.below(2) == 0;
            }
        }
    }
    return chosen;
}

void FileTree::end_processes() {
    for (const FileNodePtr& node : files()) {
        node->handles = 0;
        node->locked = false;
        node->shared_locks = 0;
        node->preallocated = 0;
    }
}

void FileTree::lose_power(CrashMode mode, Random& random) {
    commit_if(survivors(mode, random));
    pending_.clear();
    std::set<const FileNode*> seen;
    settle(root_, mode, random, seen);
}

FileTree FileTree::clone() const {
    Cloner cloner;
    FileTree result;
    result.root_ = cloner.copy(root_);
    for (const Operation& operation : pending_) {
        Operation& copied = result.pending_.emplace_back();
        for (const Change& change : operation) {
            copied.push_back(
                {cloner.copy(change.directory), change.name, cloner.copy(change.node)});
        }
    }
    return result;
}

std::vector<FileNodePtr> FileTree::files() const {
    std::set<const FileNode*> seen;
    std::vector<FileNodePtr> result;
    collect(root_, seen, result);
    return result;
}

}  // namespace starling::env
