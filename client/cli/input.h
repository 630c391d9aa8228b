#pragma once

// What a command is given to read: standard input, or a file. A stream that cannot be read looks
// like one that has ended, and half a value like a whole one; this tells them apart.

#include <cstddef>
#include <istream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace starling::client {

class Input {
  public:
    // `name`: for errors. `stream` must outlive this.
    Input(std::istream& stream, std::string name) : stream_(stream), name_(std::move(name)) {}

    // All of it. input_unreadable; invalid_argument, value_too_large: more than `bytes_max`.
    absl::StatusOr<std::string> read_all(size_t bytes_max);
    // False at its end. Of a longer line than `bytes_max` the first `bytes_max` + 1 bytes are kept,
    // and the rest is read over. input_unreadable: `text` is no line.
    absl::StatusOr<bool> read_line(std::string& text, size_t bytes_max);

  private:
    template <typename Read>
    absl::Status attempt(Read&& read);

    std::istream& stream_;
    const std::string name_;
};

}  // namespace starling::client
