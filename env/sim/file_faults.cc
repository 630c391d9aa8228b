#include "env/sim/file_faults.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"

namespace starling::env {

namespace {

constexpr std::string_view crash_reason = "simulated_crash";

}  // namespace

std::string_view name_of(FileOperation operation) {
    switch (operation) {
        case FileOperation::open:
            return "open";
        case FileOperation::read:
            return "read";
        case FileOperation::write:
            return "write";
        case FileOperation::sync:
            return "sync";
        case FileOperation::rename:
            return "rename";
        case FileOperation::remove:
            return "remove";
        case FileOperation::link:
            return "link";
        case FileOperation::truncate:
            return "truncate";
        case FileOperation::sync_directory:
            return "sync directory";
        case FileOperation::inspect:
            return "inspect";
    }
    return "unknown";
}

void FileFaults::fail_nth(uint64_t n, bool for_ever) {
    STARLING_CHECK(n > 0);
    fail_from_ = count_ + n;
    for_ever_ = for_ever;
}

void FileFaults::fail_next(FileOperation operation, uint64_t times) {
    kinds_.push_back({operation, times});
}

void FileFaults::crash_at(uint64_t n) {
    STARLING_CHECK(n > 0);
    crash_at_ = count_ + n;
}

void FileFaults::clear() {
    fail_from_ = crash_at_ = 0;
    for_ever_ = dead_ = false;
    kinds_.clear();
}

bool FileFaults::planned(FileOperation operation) {
    if (fail_from_ != 0 && (count_ == fail_from_ || (for_ever_ && count_ > fail_from_))) {
        return true;
    }
    for (KindPlan& plan : kinds_) {
        if (plan.operation == operation && plan.times > 0) {
            --plan.times;
            return true;
        }
    }
    return false;
}

absl::Status FileFaults::admit(FileOperation operation, const std::string& path) {
    if (dead_) {
        return simulated_crash(path);
    }
    ++count_;
    if (count_ == crash_at_) {
        dead_ = true;
        return simulated_crash(path);
    }
    if (planned(operation)) {
        return absl::UnavailableError(fmt::format(
            "{}: {}: simulated I/O error at operation {}", path, name_of(operation), count_));
    }
    return hook_ ? hook_(operation, path) : absl::OkStatus();
}

absl::Status simulated_crash(const std::string& path) {
    return base::make_error(absl::StatusCode::kCancelled,
                            crash_reason,
                            fmt::format("{}: the simulated machine has crashed", path));
}

bool is_simulated_crash(const absl::Status& status) {
    return base::reason_of(status) == crash_reason;
}

}  // namespace starling::env
