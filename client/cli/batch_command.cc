// batch: many operations, one per line, through one stream.

#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "client/batch.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/input.h"
#include "client/cli/request_options.h"
#include "client/cli/show.h"
#include "client/cli/time_arguments.h"
#include "client/error.h"

namespace starling::client {

namespace {

// Beyond a node's largest value.
constexpr size_t line_bytes_max = 64u << 20;

struct Line {
    // "put", "get" or "delete".
    std::string operation;
    std::string key;
    std::string value;
    // Of a put; empty: it does not expire.
    std::string ttl;
};

absl::Status mistake(const std::string& message) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::invalid_request, message);
}

absl::Status check(const Line& line) {
    if (line.operation != "put" && line.operation != "get" && line.operation != "delete") {
        return mistake(fmt::format("'{}' is none of put, get and delete", line.operation));
    }
    if (line.key.empty()) {
        return base::make_error(
            absl::StatusCode::kInvalidArgument, base::reason::key_empty, "a key is missing");
    }
    const bool has_ttl = !line.ttl.empty();
    if (has_ttl && (line.operation != "put" || !parse_duration(line.ttl, ttl_max).has_value())) {
        return base::make_error(
            absl::StatusCode::kInvalidArgument,
            base::reason::invalid_expiry,
            fmt::format("'ttl' of a {} is '{}': expected of a put a duration like 30s or 7d",
                        line.operation,
                        line.ttl));
    }
    return absl::OkStatus();
}

// {"put": KEY, "value": VALUE, "ttl": DURATION}, {"get": KEY} or {"delete": KEY}
absl::StatusOr<Line> parse_json(const std::string& text) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    Line line;
    if (!json.is_object()) {
        return mistake("not a JSON object");
    }
    for (const auto& [name, value] : json.items()) {
        if (!value.is_string()) {
            return mistake(fmt::format("'{}' is no text", name));
        }
        if (name == "value") {
            line.value = value.get<std::string>();
        } else if (name == "ttl") {
            line.ttl = value.get<std::string>();
        } else if (line.operation.empty()) {
            line.operation = name;
            line.key = value.get<std::string>();
        } else {
            return mistake(fmt::format("'{}' and '{}' in one line", line.operation, name));
        }
    }
    if (line.operation == "put" && !json.contains("value")) {
        return mistake("a value is missing");
    }
    return line;
}

// put KEY VALUE, get KEY or delete KEY; the value is the rest of the line.
absl::StatusOr<Line> parse_words(const std::string& text) {
    const size_t first = text.find(' ');
    Line line{.operation = text.substr(0, first), .key = {}, .value = {}, .ttl = {}};
    if (first == std::string::npos) {
        return line;
    }
    const bool is_put = line.operation == "put";
    const size_t second = is_put ? text.find(' ', first + 1) : std::string::npos;
    line.key = text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
    if (is_put && second == std::string::npos) {
        return mistake("a value is missing");
    }
    if (is_put) {
        line.value = text.substr(second + 1);
    }
    return line;
}

absl::StatusOr<Line> parse(const std::string& text) {
    if (text.size() > line_bytes_max) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::request_too_large,
                                fmt::format("more than {} bytes", line_bytes_max));
    }
    auto line = text.front() == '{' ? parse_json(text) : parse_words(text);
    if (!line.ok()) {
        return line;
    }
    if (absl::Status status = check(*line); !status.ok()) {
        return status;
    }
    return line;
}

// Shows the answers as they come, and keeps the exit code of the first error.
class Answers {
  public:
    Answers(Terminal& terminal, Output output) : terminal_(terminal), output_(output) {}

    // Before the operation is begun.
    void note(uint64_t index, uint64_t number, const Line& line) {
        const absl::MutexLock lock(&mutex_);
        asked_.emplace(index, Asked{number, line.operation, line.key});
    }
    void show(const BatchAnswer& answer) {
        const absl::MutexLock lock(&mutex_);
        const auto asked = asked_.find(answer.index);
        STARLING_CHECK(asked != asked_.end());
        if (!answer.status.ok()) {
            show_error(asked->second.number, answer.status);
        } else if (output_ == Output::json) {
            show_json(asked->second, answer);
        } else {
            for (const v1::Value& value : answer.get.values()) {
                terminal_.out << asked->second.key << '\t' << value.value() << '\n';
            }
        }
        if (answer.is_last_of_group) {
            terminal_.out.flush();
        }
        asked_.erase(asked);
    }
    void fail(uint64_t number, const absl::Status& status) {
        const absl::MutexLock lock(&mutex_);
        show_error(number, status);
        terminal_.out.flush();
    }
    int exit_code() {
        const absl::MutexLock lock(&mutex_);
        return exit_code_;
    }

  private:
    struct Asked {
        uint64_t number = 0;
        std::string operation;
        std::string key;
    };

    void show_json(const Asked& asked, const BatchAnswer& answer) {
        nlohmann::ordered_json json = {{"line", asked.number}, {asked.operation, asked.key}};
        if (asked.operation == "get") {
            json["values"] = nlohmann::ordered_json::array();
            for (const v1::Value& value : answer.get.values()) {
                json["values"].push_back(to_json(value));
            }
        }
        write(json);
    }
    // On one line, unlike dump().
    void write(const nlohmann::ordered_json& json) {
        terminal_.out << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                      << '\n';
    }
    void show_error(uint64_t number, const absl::Status& status)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const std::string message(status.message());
        if (output_ == Output::json) {
            write({{"line", number},
                   {"error",
                    {{"code", absl::StatusCodeToString(status.code())},
                     {"reason", base::reason_of(status)},
                     {"message", message},
                     {"outcome_unknown", outcome_unknown(status)}}}});
        }
        absl::Status named = base::make_error(
            status.code(), base::reason_of(status), fmt::format("line {}: {}", number, message));
        const int code = report(
            terminal_, outcome_unknown(status) ? with_outcome_unknown(std::move(named)) : named);
        exit_code_ = exit_code_ == exit_ok ? code : exit_code_;
    }

    Terminal& terminal_;
    const Output output_;
    absl::Mutex mutex_;
    // By index.
    std::map<uint64_t, Asked> asked_ ABSL_GUARDED_BY(mutex_);
    int exit_code_ ABSL_GUARDED_BY(mutex_) = exit_ok;
};

struct Options {
    RequestOptions read;
    WriteOptions write;
};

absl::StatusOr<Options> batch_options(const Arguments& arguments, Session& session) {
    Options options;
    STARLING_ASSIGN_OR_RETURN(options.read,
                              request_options(arguments, arguments.read_quorum, session));
    STARLING_ASSIGN_OR_RETURN(options.write.request,
                              request_options(arguments, arguments.write_quorum, session));
    return options;
}

void begin(Batch& batch, Line line, const Options& options) {
    if (line.operation == "get") {
        batch.get(std::move(line.key), options.read);
    } else if (line.operation == "put") {
        WriteOptions write = options.write;
        if (!line.ttl.empty()) write.ttl = parse_duration(line.ttl, ttl_max);
        batch.put(std::move(line.key), std::move(line.value), write);
    } else {
        batch.del(std::move(line.key), options.write);
    }
}

// Until the end of `input`, or what cannot be read of it.
void begin_all(Input& input, Batch& batch, const Options& options, Answers& answers) {
    std::string text;
    uint64_t index = 0;
    for (uint64_t number = 1;; ++number) {
        const auto has_line = input.read_line(text, line_bytes_max);
        if (!has_line.ok()) {
            answers.fail(number,
                         base::make_error(has_line.status().code(),
                                          base::reason_of(has_line.status()),
                                          fmt::format("from here on nothing was read: {}",
                                                      std::string(has_line.status().message()))));
            return;
        }
        if (!*has_line) {
            return;
        }
        if (text.empty()) {
            continue;
        }
        auto line = parse(text);
        if (!line.ok()) {
            answers.fail(number, line.status());
            continue;
        }
        answers.note(index++, number, *line);
        begin(batch, *std::move(line), options);
    }
}

}  // namespace

int run_batch(Terminal& terminal, const Arguments& arguments, Session& session) {
    const bool is_file = arguments.batch_file != "-";
    std::ifstream file;
    if (is_file) {
        file.open(arguments.batch_file, std::ios::binary);
        if (!file) {
            return report_usage(terminal,
                                mistake(fmt::format("cannot read {}", arguments.batch_file)));
        }
    }
    Input input(is_file ? file : terminal.in, is_file ? arguments.batch_file : "standard input");
    const auto client = session.client();
    if (!client.ok()) {
        return report_usage(terminal, client.status());
    }
    const auto options = batch_options(arguments, session);
    if (!options.ok()) {
        return report(terminal, options.status());
    }
    Answers answers(terminal, arguments.output);
    const auto batch =
        (*client)->batch({}, [&answers](const BatchAnswer& answer) { answers.show(answer); });
    if (!batch.ok()) {
        return report(terminal, batch.status());
    }
    begin_all(input, **batch, *options, answers);
    (*batch)->wait();
    return session.keep(**client, answers.exit_code());
}

}  // namespace starling::client
