#pragma once

// An engine in a directory of the real file system, of a parameterized test.

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "env/posix/file_system.h"
#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {

class RealEngineTest : public testing::TestWithParam<std::string> {
  protected:
    RealEngineTest() {
        // In memory where there is such a place: nothing here waits for a disk.
        const std::filesystem::path memory = "/dev/shm";
        const std::filesystem::path parent =
            std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
        std::string pattern = (parent / "starling-XXXXXX").string();
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        root = pattern;
        directory = root + "/data";
    }
    ~RealEngineTest() override { std::filesystem::remove_all(root); }

    EngineOptions options() const { return small_options(GetParam()); }
    absl::StatusOr<std::unique_ptr<Engine>> open() { return open(options()); }
    absl::StatusOr<std::unique_ptr<Engine>> open(const EngineOptions& with) {
        return open_engine(directory, with, environment(files, workers));
    }

    std::string root;
    std::string directory;
    env::PosixFileSystem files;
    QueueWorkers workers;
};

}  // namespace starling::storage
