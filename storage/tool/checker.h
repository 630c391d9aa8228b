#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "env/file_system.h"
#include "storage/log/record_file.h"
#include "storage/lsm/version_edit.h"
#include "storage/tool/verify.h"

namespace starling::storage::tool {

// Reads files and keeps what it finds wrong with them.
class Checker {
  public:
    Checker(env::FileSystem& files, std::string directory)
        : files_(files), directory_(std::move(directory)) {}

    env::FileSystem& files() { return files_; }
    const std::string& directory() const { return directory_; }
    std::string path(std::string_view name) const;

    void damage(const std::string& path, uint64_t offset, std::string_view what);
    void note(const std::string& path, uint64_t offset, std::string_view what);
    // Damage, told by a status whose message may name the path already.
    void damage(const std::string& path, uint64_t offset, const absl::Status& status);

    size_t damage_count() const { return verified_.damages.size(); }

    // The content; nullopt, and damage: it cannot be read.
    std::optional<std::string> read(const std::string& path);
    void count(uint64_t bytes);

    // A file of records that is complete, each payload checked by `payload`.
    using CheckPayload = std::function<absl::Status(std::string_view payload)>;
    void check_records(const std::string& path,
                       RecordFileKind kind,
                       uint64_t number,
                       const CheckPayload& payload);
    // The files of a log, as `start` says. The place where it cannot be read any further is damage
    // if anything beyond claims it as durable, else what a crash left (docs/formats/log.md).
    using PathOf = std::string (*)(const std::string& directory, uint64_t number);
    void check_log(std::vector<uint64_t> numbers,
                   const LogStart& start,
                   RecordFileKind kind,
                   PathOf path_of);

    Verified take() { return std::move(verified_); }

  private:
    env::FileSystem& files_;
    const std::string directory_;
    Verified verified_;
};

// What each engine's files are checked by.
void verify_lsm(Checker& checker, const std::vector<std::string>& names);
void verify_bitcask(Checker& checker, const std::vector<std::string>& names);

}  // namespace starling::storage::tool
