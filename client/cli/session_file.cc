#include "client/cli/session_file.h"

#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

constexpr uint64_t file_bytes_max = uint64_t{64} << 20;

bool parse(const std::string& line, SessionMark& mark) {
    std::istringstream words(line);
    std::string name_space;
    std::string key;
    std::string token;
    std::string more;
    return words >> name_space >> key >> token && !(words >> more) &&
           from_hex(name_space, mark.name_space) && from_hex(key, mark.key) &&
           from_hex(token, mark.token);
}

}  // namespace

absl::Status load_session(env::FileSystem& files, const std::string& path, Client& client) {
    const absl::StatusOr<std::string> content = env::read_file(files, path, file_bytes_max);
    if (absl::IsNotFound(content.status())) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(content.status());
    std::vector<SessionMark> session;
    size_t number = 0;
    std::istringstream lines(*content);
    for (std::string line; std::getline(lines, line);) {
        ++number;
        if (!parse(line, session.emplace_back())) {
            return absl::InvalidArgumentError(
                fmt::format("{}: line {} is no session's: give another file, or delete this one",
                            path,
                            number));
        }
    }
    client.resume(session);
    return absl::OkStatus();
}

absl::Status save_session(env::FileSystem& files, const std::string& path, const Client& client) {
    std::string content;
    for (const SessionMark& mark : client.session()) {
        content += fmt::format(
            "{} {} {}\n", to_hex(mark.name_space), to_hex(mark.key), to_hex(mark.token));
    }
    return env::replace_file(files, path, content);
}

}  // namespace starling::client
