// Backups. The input is names and contents of files, and lines of a list. Oracles: a list with the
// right sums is verified and restored to the same bytes, unless a name cannot be; a list of the
// input, its checksum right, is refused or agrees with every file; and whatever it says, nothing is
// written beside the target.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "env/sim/file_system.h"
#include "storage/backup.h"

namespace {

using namespace starling;
using namespace starling::storage;

constexpr std::string_view title = "starling backup\nformat 1\n";
constexpr size_t files_max = 6;

using Contents = std::map<std::string, std::string>;

bool can_be_a_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name != "LOCK" && name != "BACKUP" &&
           name != "BACKUP.tmp";
}

Contents contents_from(base::Reader& in) {
    Contents contents = {{"ENGINE", "the marker"}, {"000001.table", std::string(100, 't')}};
    for (size_t count = in.u8() % files_max; count > 0 && !in.failed(); --count) {
        std::string name(in.bytes());
        const std::string_view content = in.bytes();
        if (can_be_a_name(name)) {
            contents.emplace(std::move(name), content);
        }
    }
    return contents;
}

std::string line_of(const std::string& name, const std::string& content) {
    return fmt::format("file {} {:08x} {}\n", content.size(), base::crc32c(content), name);
}

std::string sealed(std::string text) {
    return text + fmt::format("checksum {:08x}\n", base::crc32c(text));
}

void fill(env::SimFileSystem& files, const Contents& contents, const std::string& list) {
    STARLING_CHECK(files.create_directory("/backup").ok());
    for (const auto& [name, content] : contents) {
        auto file = *files.create("/backup/" + name);
        STARLING_CHECK(file->append(content).ok() && file->close().ok());
    }
    STARLING_CHECK(env::replace_file(files, "/backup/BACKUP", list).ok());
}

// Restores, and looks at what that made.
absl::Status restore(env::SimFileSystem& files, const Contents& contents) {
    const absl::Status verified = verify_backup(files, "/backup");
    const absl::Status status = restore_engine(files, "/backup", "/restored");
    STARLING_CHECK(status.ok() == verified.ok());
    const std::vector<std::string> beside = *files.list("/");
    STARLING_CHECK(beside == (status.ok() ? std::vector<std::string>{"backup", "restored"}
                                          : std::vector<std::string>{"backup"}));
    if (!status.ok()) {
        STARLING_CHECK(absl::IsDataLoss(status));
        STARLING_CHECK(status.message().find("/backup/") != std::string_view::npos);
        return status;
    }
    const std::vector<std::string> names = *files.list("/restored");
    STARLING_CHECK(names.size() == contents.size());
    for (const std::string& name : names) {
        const auto expected = contents.find(name);
        STARLING_CHECK(expected != contents.end());
        STARLING_CHECK(*env::read_file(files, "/restored/" + name, 1u << 20) == expected->second);
    }
    return status;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    base::Reader in(input);
    const Contents contents = contents_from(in);
    std::string lines;
    for (const auto& [name, content] : contents) {
        lines += line_of(name, content);
    }
    const std::string right = sealed(std::string(title) + lines);
    {
        env::SimFileSystem files;
        fill(files, contents, right);
        const bool one_line_each = std::string_view(lines).find("\n\n") == std::string_view::npos;
        const absl::Status status = restore(files, contents);
        // A name with a newline in it makes two lines.
        bool plain = one_line_each;
        for (const auto& [name, content] : contents) {
            plain = plain && name.find('\n') == std::string::npos;
        }
        STARLING_CHECK(status.ok() || !plain);
    }
    Contents changed = contents;
    for (auto& [name, content] : changed) {
        if (!content.empty()) {
            content.back() = static_cast<char>(content.back() ^ 1);
            env::SimFileSystem files;
            fill(files, changed, right);
            STARLING_CHECK(!restore(files, changed).ok());
            content.back() = static_cast<char>(content.back() ^ 1);
        }
    }
    const std::string rest(in.rest());
    for (const std::string& list : {std::string(input),
                                    sealed(std::string(input)),
                                    sealed(std::string(title) + std::string(input)),
                                    sealed(std::string(title) + lines + rest),
                                    sealed(std::string(title) + rest + lines)}) {
        env::SimFileSystem files;
        fill(files, contents, list);
        const absl::Status status = restore(files, contents);
        STARLING_CHECK(!status.ok() || list == right);
    }
    return 0;
}
