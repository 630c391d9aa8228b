// Runs a fuzz target, in builds without libFuzzer, over its kept inputs and over their neighbours:
// every prefix, and every single bit flipped. The target aborts on a violation.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// Neighbours of larger inputs are left to the fuzzer.
constexpr size_t neighbours_size_max = 512;

void run(const std::string& input) {
    // A copy of the exact size, so that a sanitizer sees a read past the end.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    EXPECT_EQ(LLVMFuzzerTestOneInput(bytes.data(), bytes.size()), 0);
}

std::vector<std::filesystem::path> corpus() {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(STARLING_FUZZ_CORPUS)) {
        paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

TEST(CorpusReplayTest, EveryKeptInputAndItsNeighboursPass) {
    const std::vector<std::filesystem::path> paths = corpus();
    EXPECT_FALSE(paths.empty()) << STARLING_FUZZ_CORPUS;
    for (const std::filesystem::path& path : paths) {
        SCOPED_TRACE(path);
        std::ifstream file(path, std::ios::binary);
        ASSERT_TRUE(file.good());
        const std::string input{std::istreambuf_iterator<char>(file),
                                std::istreambuf_iterator<char>()};
        run(input);
        if (input.size() > neighbours_size_max) {
            continue;
        }
        for (size_t size = 0; size < input.size(); ++size) {
            run(input.substr(0, size));
        }
        for (size_t bit = 0; bit < input.size() * 8; ++bit) {
            std::string flipped = input;
            flipped[bit / 8] =
                static_cast<char>(static_cast<uint8_t>(flipped[bit / 8]) ^ (1U << (bit % 8)));
            run(flipped);
        }
    }
}

}  // namespace
