#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "storage/lsm/block.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"
#include "storage/lsm/table_format.h"
#include "storage/lsm/value_file.h"
#include "storage/lsm/version.h"
#include "storage/tool/checker.h"

namespace starling::storage::tool {

namespace {

class TableCheck {
  public:
    TableCheck(Checker& checker, uint64_t number)
        : checker_(checker), path_(lsm::table_path(checker.directory(), number)), number_(number) {}

    void run() {
        auto file = checker_.files().open_for_read(path_);
        const auto size = file.ok() ? (*file)->size() : file.status();
        if (!size.ok()) {
            checker_.damage(path_, 0, size.status());
            return;
        }
        file_ = *std::move(file);
        checker_.count(*size);
        const uint64_t footer_offset =
            *size < lsm::table_footer_bytes ? 0 : *size - lsm::table_footer_bytes;
        const auto bytes = read(footer_offset, lsm::table_footer_bytes);
        const auto footer = lsm::decode_table_footer(bytes.value_or(""), number_, *size);
        if (!footer.ok()) {
            checker_.damage(path_, footer_offset, footer.status());
            return;
        }
        if (footer->filter != lsm::BlockHandle()) {
            content(footer->filter);
        }
        check_blocks(footer->index);
    }

  private:
    std::optional<std::string> read(uint64_t offset, uint64_t count) {
        std::string bytes(count, '\0');
        const auto got = file_->read(offset, bytes.size(), bytes.data());
        if (!got.ok() || *got != count) {
            return std::nullopt;
        }
        return bytes;
    }

    std::optional<std::string> content(const lsm::BlockHandle& handle) {
        auto stored = read(handle.offset, handle.size + lsm::block_trailer_bytes);
        if (!stored.has_value()) {
            checker_.damage(path_, handle.offset, "a block cannot be read");
            return std::nullopt;
        }
        auto content = lsm::unpack_block(*stored, number_, handle.offset, path_);
        if (!content.ok()) {
            checker_.damage(path_, handle.offset, content.status());
            return std::nullopt;
        }
        return *std::move(content);
    }

    // Calls `visit` with each entry of the block.
    template <typename Visit>
    void walk(const lsm::BlockHandle& handle, Visit&& visit) {
        auto bytes = content(handle);
        if (!bytes.has_value()) {
            return;
        }
        // What it makes a block of, it has checked entry by entry.
        auto block = lsm::Block::make(*bytes);
        if (!block) {
            checker_.damage(path_, handle.offset, "a block is damaged");
            return;
        }
        lsm::BlockIterator entry(std::move(block));
        for (entry.seek_to_first(); entry.valid(); entry.next()) {
            visit(entry.value());
        }
    }

    void check_blocks(const lsm::BlockHandle& index) {
        walk(index, [&](std::string_view handle_bytes) {
            lsm::BlockHandle handle;
            if (!lsm::decode_block_handle(handle_bytes, handle)) {
                checker_.damage(path_, index.offset, "an entry of the index is damaged");
                return;
            }
            walk(handle, [](std::string_view) {});
        });
    }

    Checker& checker_;
    const std::string path_;
    const uint64_t number_;
    std::unique_ptr<env::RandomAccessFile> file_;
};

// What the manifest that counts says; nullopt, and damage: it cannot be read.
std::optional<lsm::ManifestState> check_manifest(Checker& checker,
                                                 const std::set<uint64_t>& manifests) {
    const std::string current = lsm::current_path(checker.directory());
    auto state = lsm::read_manifest(checker.files(), checker.directory());
    if (state.ok() && state->has_value()) {
        checker.count(checker.files().file_size(current).value_or(0));
        const std::string path = lsm::manifest_path(checker.directory(), (*state)->manifest_number);
        checker.count(checker.files().file_size(path).value_or(0));
        return *std::move(state);
    }
    if (state.ok()) {
        return std::nullopt;
    }
    // Which of the two files it is, and where, shows when each is looked at by itself.
    bool found = false;
    for (const uint64_t number : manifests) {
        const std::string path = lsm::manifest_path(checker.directory(), number);
        if (state.status().message().find(path) != std::string::npos) {
            const size_t before = checker.damage_count();
            checker.check_records(
                path, RecordFileKind::manifest, number, [](std::string_view payload) {
                    return lsm::decode_version_edit(payload).status();
                });
            found = checker.damage_count() > before;
        }
    }
    if (!found) {
        checker.damage(current, 0, state.status());
    }
    return std::nullopt;
}

void check_size(Checker& checker, const std::string& path, uint64_t expected) {
    const auto size = checker.files().file_size(path);
    if (absl::IsNotFound(size.status())) {
        checker.damage(path, 0, "the file is missing, but the manifest names it");
    } else if (size.ok() && *size != expected) {
        checker.damage(
            path, 0, fmt::format("has {} bytes, but was written with {}", *size, expected));
    }
}

}  // namespace

void verify_lsm(Checker& checker, const std::vector<std::string>& names) {
    std::set<uint64_t> tables;
    std::set<uint64_t> manifests;
    std::vector<uint64_t> logs;
    for (const std::string& name : names) {
        const auto parsed = lsm::parse_file_name(name);
        if (!parsed.has_value()) {
            continue;
        }
        if (parsed->kind == lsm::FileKind::table) {
            tables.insert(parsed->number);
        } else if (parsed->kind == lsm::FileKind::manifest) {
            manifests.insert(parsed->number);
        } else if (parsed->kind == lsm::FileKind::log) {
            logs.push_back(parsed->number);
        }
    }
    const auto state = check_manifest(checker, manifests);
    if (!state.has_value()) {
        // Without a manifest nobody knows which of them count.
        for (const uint64_t number : tables) {
            TableCheck(checker, number).run();
        }
        return;
    }
    for (size_t level = 0; level < lsm::level_count; ++level) {
        for (const lsm::TablePtr& table : state->version->level(level)) {
            check_size(
                checker, lsm::table_path(checker.directory(), table->number), table->file_bytes);
            if (tables.erase(table->number) > 0) {
                TableCheck(checker, table->number).run();
            }
        }
    }
    for (const auto& file : state->version->value_files()) {
        const std::string path = lsm::value_file_path(checker.directory(), file.number);
        checker.count(checker.files().file_size(path).value_or(0));
        if (absl::Status status =
                lsm::verify_value_file(checker.files(),
                                       checker.directory(),
                                       {.number = file.number, .file_bytes = file.file_bytes});
            !status.ok()) {
            checker.damage(path, 0, status);
        }
    }
    for (const uint64_t number : tables) {
        checker.note(
            lsm::table_path(checker.directory(), number), 0, "no manifest names this file");
    }
    std::erase_if(logs, [&](uint64_t number) { return number < state->log.number; });
    checker.check_log(std::move(logs), state->log, RecordFileKind::log, lsm::log_path);
}

}  // namespace starling::storage::tool
