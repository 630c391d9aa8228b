#include "node/daemon/logging.h"

#include <memory>
#include <string>

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>
#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace starling::node {

namespace {

constexpr size_t queued_lines_max = 8192;

std::string_view name_of(spdlog::level::level_enum level) {
    switch (level) {
        case spdlog::level::trace:
        case spdlog::level::debug:
            return "debug";
        case spdlog::level::warn:
            return "warning";
        case spdlog::level::err:
        case spdlog::level::critical:
            return "error";
        default:
            return "info";
    }
}

spdlog::level::level_enum level_of(std::string_view name) {
    if (name == "debug") {
        return spdlog::level::debug;
    }
    if (name == "warning") {
        return spdlog::level::warn;
    }
    return name == "error" ? spdlog::level::err : spdlog::level::info;
}

std::string time_text(std::chrono::system_clock::time_point time) {
    const auto ms = std::chrono::time_point_cast<std::chrono::milliseconds>(time);
    const auto fraction = ms.time_since_epoch().count() % 1000;
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(time)),
                       fraction);
}

// One event, one line: what is not printable in a message is escaped, in both formats, so that
// nothing that came from outside can forge a line or steer a terminal.
class LineFormatter final : public spdlog::formatter {
  public:
    explicit LineFormatter(LogFormat format) : format_(format) {}

    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
        const std::string_view text(message.payload.data(), message.payload.size());
        const std::string time = time_text(message.time);
        const std::string line = format_ == LogFormat::json
                                     ? to_json_line(time, name_of(message.level), text)
                                     : to_text_line(time, name_of(message.level), text);
        out.append(line.data(), line.data() + line.size());
        out.push_back('\n');
    }
    std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<LineFormatter>(format_);
    }

  private:
    static std::string to_text_line(std::string_view time,
                                    std::string_view level,
                                    std::string_view message) {
        std::string line = fmt::format("{} {:7} ", time, level);
        for (const char c : message) {
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
            } else {
                line.push_back(c);
            }
        }
        return line;
    }

    const LogFormat format_;
};

}  // namespace

std::string to_json_line(std::string_view time, std::string_view level, std::string_view message) {
    const nlohmann::ordered_json line = {{"time", time}, {"level", level}, {"message", message}};
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void start_logging(LogFormat format, std::string_view level) {
    spdlog::init_thread_pool(queued_lines_max, 1);
    auto logger =
        std::make_shared<spdlog::async_logger>("starlingd",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                               spdlog::thread_pool(),
                                               spdlog::async_overflow_policy::overrun_oldest);
    logger->set_formatter(std::make_unique<LineFormatter>(format));
    logger->set_level(level_of(level));
    spdlog::set_default_logger(std::move(logger));
}

void stop_logging() {
    spdlog::shutdown();
}

void log_line(std::string_view severity, std::string_view line) {
    spdlog::log(level_of(severity), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace starling::node
