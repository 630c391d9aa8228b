#pragma once

// A storage of the C functions, in a directory of its own.

#include <filesystem>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <unistd.h>

#include "storage/c/starling_storage.h"

namespace starling::storage {

class CApiTest : public testing::Test {
  protected:
    CApiTest() {
        std::string pattern = testing::TempDir() + "storage_c_XXXXXX";
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        open();
    }
    ~CApiTest() override {
        starling_storage_free(storage);
        std::filesystem::remove_all(folder);
    }

    void open() {
        EXPECT_EQ(starling_storage_open((folder + "/data").c_str(), nullptr, &storage),
                  STARLING_STORAGE_OK)
            << starling_storage_error_text();
    }
    void put(std::string_view key, std::string_view value) {
        EXPECT_EQ(starling_storage_put(storage, key.data(), key.size(), value.data(), value.size()),
                  STARLING_STORAGE_OK)
            << starling_storage_error_text();
    }
    std::string get(std::string_view key, const starling_storage_snapshot* snapshot = nullptr) {
        char* value = nullptr;
        size_t length = 0;
        const starling_storage_code code =
            starling_storage_get(storage, snapshot, key.data(), key.size(), &value, &length);
        std::string result = code == STARLING_STORAGE_OK ? std::string(value, length)
                                                         : starling_storage_code_name(code);
        starling_storage_bytes_free(value);
        return result;
    }

    std::string folder;
    starling_storage* storage = nullptr;
};

}  // namespace starling::storage
