#pragma once

// The command line against a fake node, in a folder of its own.

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <streambuf>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/cli/commands.h"
#include "tests/unit/client/fake_service.h"

namespace starling::client {

// Gives `text`, and then the error of a file that cannot be read further.
class BreakingBuffer final : public std::streambuf {
  public:
    explicit BreakingBuffer(std::string text) : text_(std::move(text)) {}

  protected:
    int_type underflow() override {
        if (text_.empty() || eback() != nullptr) {
            throw std::ios_base::failure("read", std::error_code(EIO, std::generic_category()));
        }
        setg(text_.data(), text_.data(), text_.data() + text_.size());
        return traits_type::to_int_type(text_.front());
    }

  private:
    std::string text_;
};

class CliTest : public testing::Test {
  protected:
    CliTest() {
        std::string pattern = testing::TempDir() + "/starling_cli_XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
    }
    ~CliTest() override { std::filesystem::remove_all(folder_); }

    // Against the fake node, unless `words` name another.
    int run(std::vector<std::string> words, const std::string& input = "") {
        std::istringstream in(input);
        return run_from(in, std::move(words));
    }
    int run_from(std::istream& in, std::vector<std::string> words) {
        std::ostringstream out;
        std::ostringstream err;
        Terminal terminal{.in = in,
                          .out = out,
                          .err = err,
                          .variable = [this](const char* name) { return variables_[name]; },
                          .working_directory = folder_,
                          .executable = ""};
        const int code = run_starling(words, terminal);
        out_ = out.str();
        err_ = err.str();
        return code;
    }
    int ask(std::vector<std::string> words, const std::string& input = "") {
        words.insert(words.begin(), {"--addr", server_.address()});
        return run(std::move(words), input);
    }
    int ask_from(std::istream& in, std::vector<std::string> words) {
        words.insert(words.begin(), {"--addr", server_.address()});
        return run_from(in, std::move(words));
    }
    void answer_with(std::vector<std::string> values) {
        server_.service.on_get = [values](auto*, const auto&, v1::GetResponse& answer) {
            for (const std::string& value : values) {
                answer.add_values()->set_value(value);
            }
            answer.set_context("\x01\xab");
            return grpc::Status::OK;
        };
    }

    FakeServer server_;
    std::map<std::string, std::string> variables_;
    std::string folder_;
    std::string out_;
    std::string err_;
};

}  // namespace starling::client
