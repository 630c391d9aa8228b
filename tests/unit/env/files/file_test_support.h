#pragma once

// What the file tests share: a temporary directory, short forms of common steps, a seeded Random.

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/file_system.h"
#include "env/random.h"

namespace starling::env {

#define ASSERT_OK(expression) ASSERT_TRUE((expression).ok())
#define EXPECT_OK(expression) EXPECT_EQ((expression), absl::OkStatus())

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "starling_test_XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// splitmix64.
class SeededRandom final : public Random {
  public:
    explicit SeededRandom(uint64_t seed) : state_(seed) {}
    uint64_t next() override {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }

  private:
    uint64_t state_;
};

inline absl::Status write_file(FileSystem& files,
                               const std::string& path,
                               std::string_view content) {
    auto file = files.create(path);
    if (!file.ok()) {
        return file.status();
    }
    absl::Status status = (*file)->append(content);
    return status.ok() ? (*file)->close() : status;
}

// Durable, its name included.
inline absl::Status write_durably(FileSystem& files,
                                  const std::string& directory,
                                  const std::string& name,
                                  std::string_view content) {
    auto file = files.create(directory + "/" + name);
    if (!file.ok()) {
        return file.status();
    }
    absl::Status status = (*file)->append(content);
    if (status.ok()) {
        status = (*file)->sync();
    }
    return status.ok() ? files.sync_directory(directory) : status;
}

inline std::string content_of(FileSystem& files, const std::string& path) {
    const auto content = read_file(files, path, uint64_t{1} << 30);
    return content.ok() ? *content : "error: " + content.status().ToString();
}

}  // namespace starling::env
