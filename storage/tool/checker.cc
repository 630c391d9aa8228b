#include "storage/tool/checker.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/engine.h"

namespace starling::storage::tool {

namespace {

constexpr uint64_t file_bytes_max = uint64_t{4} << 30;

struct IgnoredChanges final : WriteBatch::Handler {
    void put(std::string_view, std::string_view, Expiry) override {}
    void remove(std::string_view) override {}
    void remove_range(std::string_view, std::string_view) override {}
};

bool is_blank(std::string_view bytes) {
    return bytes.find_first_not_of('\0') == std::string_view::npos;
}

}  // namespace

std::string Checker::path(std::string_view name) const {
    return fmt::format("{}/{}", directory_, name);
}

void Checker::damage(const std::string& path, uint64_t offset, std::string_view what) {
    verified_.damages.push_back({.file = path, .offset = offset, .what = std::string(what)});
}

void Checker::note(const std::string& path, uint64_t offset, std::string_view what) {
    verified_.notes.push_back({.file = path, .offset = offset, .what = std::string(what)});
}

void Checker::damage(const std::string& path, uint64_t offset, const absl::Status& status) {
    std::string_view what(status.message().data(), status.message().size());
    for (const std::string& known :
         {path, std::string(":"), fmt::format(" at offset {}:", offset), std::string(" ")}) {
        if (what.starts_with(known)) {
            what.remove_prefix(known.size());
        }
    }
    damage(path, offset, what);
}

std::optional<std::string> Checker::read(const std::string& path) {
    auto content = env::read_file(files_, path, file_bytes_max);
    if (!content.ok()) {
        damage(path, 0, content.status());
        return std::nullopt;
    }
    count(content->size());
    return *std::move(content);
}

void Checker::count(uint64_t bytes) {
    ++verified_.files;
    verified_.bytes += bytes;
}

void Checker::check_records(const std::string& path,
                            RecordFileKind kind,
                            uint64_t number,
                            const CheckPayload& payload) {
    const auto content = read(path);
    if (!content.has_value()) {
        return;
    }
    RecordReader reader(*content, kind, number);
    if (!reader.has_header()) {
        damage(path, 0, "the file header is damaged");
        return;
    }
    for (Record record; reader.next(record);) {
        if (absl::Status status = payload(record.payload); !status.ok()) {
            damage(path, record.offset, status);
        }
    }
    if (!reader.at_end()) {
        damage(path, reader.offset(), "a record is damaged");
    }
}

void Checker::check_log(std::vector<uint64_t> numbers,
                        const LogStart& start,
                        RecordFileKind kind,
                        PathOf path_of) {
    if (start.number == 0) {
        return;
    }
    std::sort(numbers.begin(), numbers.end());
    if (numbers.empty() || numbers.front() != start.number) {
        damage(path_of(directory_, start.number), 0, "the file is missing, but is needed");
    }
    // What cannot be read any more, and what is claimed as durable from there on.
    struct Tail {
        std::string path;
        uint64_t offset = 0;
        LogPosition position = 0;
        // Filled ahead, or not begun.
        bool blank = false;
    };
    std::optional<Tail> tail;
    bool ended = false;
    LogPosition claimed = 0;
    LogPosition position = start.position;
    // Of the next file, if all of those before it was used.
    LogPosition base_max = start.position;
    for (const uint64_t number : numbers) {
        const std::string path = path_of(directory_, number);
        const auto content = read(path);
        if (!content.has_value()) {
            continue;
        }
        RecordReader reader(*content, kind, number);
        if (!ended && reader.has_header() && reader.base() == position) {
            // The log goes on here, so what was behind its records before was none of it.
            tail.reset();
            claimed = 0;
        } else if (!ended) {
            ended = true;
            tail = tail.value_or(
                Tail{.path = path, .position = position, .blank = is_blank(*content)});
        }
        for (Record record; reader.next(record);) {
            claimed = ended ? std::max(claimed, record.durable) : claimed;
            IgnoredChanges ignored;
            if (!WriteBatch::replay(record.payload, ignored).ok()) {
                damage(path, record.offset, "a batch is damaged");
            }
        }
        if (!ended) {
            position += reader.offset();
        }
        if (!ended && !reader.at_end()) {
            tail = Tail{.path = path,
                        .offset = reader.offset(),
                        .position = position,
                        .blank = is_blank(std::string_view(*content).substr(reader.offset()))};
        }
        if (tail.has_value()) {
            claimed = std::max(claimed, reader.durable_claimed_beyond(tail->position, base_max));
        }
        base_max += content->size();
    }
    if (!tail.has_value()) {
        return;
    }
    if (claimed > tail->position) {
        damage(tail->path, tail->offset, "the log is damaged before its end");
    } else if (!tail->blank) {
        note(tail->path,
             tail->offset,
             "the log ends here; what follows was never durable, or is of an earlier use of the "
             "file");
    }
}

}  // namespace starling::storage::tool
