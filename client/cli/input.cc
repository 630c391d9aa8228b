#include "client/cli/input.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "client/cli/exit_codes.h"

namespace starling::client {

// Reads from the stream's buffer, which throws what the stream itself would only turn into a state.
template <typename Read>
absl::Status Input::attempt(Read&& read) {
    try {
        read(*stream_.rdbuf());
    } catch (const std::ios_base::failure& failure) {
        return base::make_error(
            absl::StatusCode::kUnavailable,
            reason_input_unreadable,
            fmt::format("{} cannot be read: {}", name_, failure.code().message()));
    }
    return absl::OkStatus();
}

absl::StatusOr<std::string> Input::read_all(size_t bytes_max) {
    std::string all;
    char block[64 << 10];
    for (;;) {
        std::streamsize count = 0;
        STARLING_RETURN_IF_ERROR(
            attempt([&](std::streambuf& bytes) { count = bytes.sgetn(block, sizeof block); }));
        if (count <= 0) {
            return all;
        }
        all.append(block, static_cast<size_t>(count));
        if (all.size() > bytes_max) {
            return base::make_error(absl::StatusCode::kInvalidArgument,
                                    base::reason::value_too_large,
                                    fmt::format("{}: more than {} bytes", name_, bytes_max));
        }
    }
}

absl::StatusOr<bool> Input::read_line(std::string& text, size_t bytes_max) {
    text.clear();
    constexpr int end = std::char_traits<char>::eof();
    int next = end;
    bool is_line = false;
    STARLING_RETURN_IF_ERROR(attempt([&](std::streambuf& bytes) {
        next = bytes.sbumpc();
        is_line = next != end;
        for (; next != end && next != '\n'; next = bytes.sbumpc()) {
            if (text.size() <= bytes_max) {
                text.push_back(static_cast<char>(next));
            }
        }
    }));
    return is_line;
}

}  // namespace starling::client
