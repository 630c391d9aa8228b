#include "client/cli/session_file.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/cli/pause.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

constexpr uint64_t file_bytes_max = uint64_t{64} << 20;
// A lock is held for as long as a file is read and written.
constexpr base::Duration lock_pause = std::chrono::milliseconds(5);

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

std::string line_of(const SessionMark& mark) {
    return fmt::format("{} {} {}\n", to_hex(mark.name_space), to_hex(mark.key), to_hex(mark.token));
}

}  // namespace

absl::StatusOr<std::vector<SessionMark>> SessionFile::read() const {
    std::vector<SessionMark> session;
    const absl::StatusOr<std::string> content = env::read_file(files_, path_, file_bytes_max);
    if (absl::IsNotFound(content.status())) {
        return session;
    }
    STARLING_RETURN_IF_ERROR(content.status());
    std::istringstream lines(*content);
    for (std::string line; std::getline(lines, line);) {
        if (!parse(line, session.emplace_back())) {
            return absl::InvalidArgumentError(
                fmt::format("{}: line {} is no session's: give another file, or delete this one",
                            path_,
                            session.size()));
        }
    }
    return session;
}

absl::StatusOr<std::unique_ptr<env::FileLock>> SessionFile::lock() const {
    const std::string path = path_ + ".lock";
    for (base::Duration waited{};; waited += lock_pause) {
        auto lock = files_.lock(path);
        if (!absl::IsFailedPrecondition(lock.status())) {
            return lock;
        }
        if (waited >= lock_wait_) {
            return absl::UnavailableError(fmt::format("other commands keep {} locked", path));
        }
        pause(lock_pause);
    }
}

absl::Status SessionFile::load(Client& client) {
    STARLING_ASSIGN_OR_RETURN(const std::vector<SessionMark> session, read());
    for (const SessionMark& mark : session) {
        loaded_[{mark.name_space, mark.key}] = mark.token;
    }
    client.resume(session);
    return absl::OkStatus();
}

std::vector<SessionMark> SessionFile::unite(std::vector<SessionMark> stored,
                                            std::vector<SessionMark> seen) {
    const auto is_as_loaded = [this](const SessionMark& mark) {
        const auto found = loaded_.find({mark.name_space, mark.key});
        return found != loaded_.end() && found->second == mark.token;
    };
    std::erase_if(seen, is_as_loaded);
    std::map<Name, SessionMark*> changed;
    for (SessionMark& mark : seen) {
        changed[{mark.name_space, mark.key}] = &mark;
    }
    std::vector<SessionMark> all;
    for (SessionMark& mark : stored) {
        const auto found = changed.find({mark.name_space, mark.key});
        if (found == changed.end()) {
            all.push_back(std::move(mark));
        } else if (is_as_loaded(mark)) {
            // What was sent with the request is part of what came back.
        } else if (mark.token.size() + found->second->token.size() <=
                   SessionMarks::bytes_per_key_max) {
            found->second->token += mark.token;
        } else {
            has_forgotten_ = true;
        }
    }
    std::move(seen.begin(), seen.end(), std::back_inserter(all));
    return all;
}

absl::Status SessionFile::save(const Client& client) {
    STARLING_ASSIGN_OR_RETURN(const std::unique_ptr<env::FileLock> held, lock());
    STARLING_ASSIGN_OR_RETURN(std::vector<SessionMark> stored, read());
    has_forgotten_ = client.session_forgotten() > 0;
    const std::vector<SessionMark> all = unite(std::move(stored), client.session());
    // The newest that have room.
    const size_t keys_max = ClientOptions().session_keys_max;
    std::vector<std::string> lines;
    uint64_t bytes = 0;
    for (auto mark = all.rbegin(); mark != all.rend(); ++mark) {
        std::string line = line_of(*mark);
        bytes += line.size();
        if (lines.size() == keys_max || bytes > file_bytes_max) {
            has_forgotten_ = true;
            break;
        }
        lines.push_back(std::move(line));
    }
    std::string content;
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
        content += *line;
    }
    return env::replace_file(files_, path_, content);
}

}  // namespace starling::client
