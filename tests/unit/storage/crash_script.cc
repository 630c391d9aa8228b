#include "tests/unit/storage/crash_script.h"

#include <fmt/format.h>

#include "base/status_macros.h"

namespace starling::storage {

namespace {

constexpr size_t batch_count = 48;
constexpr std::string_view directory = "/data";
// Beyond the still clock of the tests.
constexpr base::WallTime distant{std::chrono::hours(24 * 365 * 200)};

WriteBatch make_batch(size_t number) {
    // Sizes vary, so that records end anywhere in a sector and some span several.
    const std::string value = fmt::format("{:04}:", number) + std::string(number * 37 % 900, 'v');
    WriteBatch batch;
    batch.put(fmt::format("own{:04}", number), value);
    batch.put(fmt::format("shared{}", number % 3), value);
    batch.remove(fmt::format("own{:04}", number / 2));
    batch.put("latest", value);
    if (number % 5 == 4) {
        batch.put(fmt::format("own{:04}x", number), "expires", distant);
        batch.remove_range(fmt::format("own{:04}", number / 2),
                           fmt::format("own{:04}", number - 1));
    }
    return batch;
}

}  // namespace

absl::Status CrashScript::open() {
    STARLING_ASSIGN_OR_RETURN(
        engine_, open_engine(std::string(directory), options_, environment(files_, workers_)));
    STARLING_ASSIGN_OR_RETURN(const Model found, contents(*engine_));
    if (wrong_.empty()) {
        wrong_ = judge(found);
    }
    // What an engine that ended in trouble has lost is gone for good.
    while (states_.size() > 1 && states_.back() != found) {
        states_.pop_back();
    }
    return absl::OkStatus();
}

absl::Status CrashScript::write(size_t number, bool sync_too) {
    const WriteBatch batch = make_batch(number);
    absl::Status status = engine_->write(batch, {.sync = false});
    while (absl::IsUnavailable(status) && !files_.faults().dead() && workers_.run_one()) {
        status = engine_->write(batch, {.sync = false});
    }
    // Refused for want of memory or disk is not applied; what any other error leaves nobody knows.
    const bool refused = absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
    if (!refused) {
        states_.push_back(after_batch(states_.back(), batch));
    }
    return status.ok() && sync_too ? sync() : status;
}

absl::Status CrashScript::sync() {
    STARLING_RETURN_IF_ERROR(engine_->sync());
    acknowledged_ = states_.size() - 1;
    return absl::OkStatus();
}

absl::Status CrashScript::step(size_t number) {
    STARLING_RETURN_IF_ERROR(write(number, number % 5 == 4));
    if (number % 4 == 3) {
        workers_.run_one();
    }
    if (number % 20 == 13) {
        STARLING_RETURN_IF_ERROR(sync());
        workers_.run_all();
    }
    if (number % 23 == 22) {
        absl::Status status = engine_->close();
        engine_.reset();
        workers_.drop_all();
        STARLING_RETURN_IF_ERROR(status);
        acknowledged_ = states_.size() - 1;
        return open();
    }
    return engine_->background_error();
}

absl::Status CrashScript::run() {
    STARLING_RETURN_IF_ERROR(open());
    for (size_t number = 0; number < batch_count; ++number) {
        STARLING_RETURN_IF_ERROR(step(number));
    }
    return sync();
}

void CrashScript::run_on() {
    for (size_t number = 0; number < batch_count; ++number) {
        if (engine_ == nullptr && !open().ok()) {
            continue;
        }
        if (const absl::Status status = step(number);
            !status.ok() && !absl::IsResourceExhausted(status)) {
            kill();
        }
    }
}

std::string CrashScript::judge(const Model& found) const {
    if (!wrong_.empty()) {
        return "in the middle of the script: " + wrong_;
    }
    for (size_t i = acknowledged_; i < states_.size(); ++i) {
        if (found == states_[i]) {
            return "";
        }
    }
    for (size_t i = 0; i < acknowledged_; ++i) {
        if (found == states_[i]) {
            return fmt::format("only {} batches are there, {} were acknowledged", i, acknowledged_);
        }
    }
    return fmt::format("{} keys that no prefix of the batches gives", found.size());
}

std::string CrashScript::check_after_restart(env::SimFileSystem& files,
                                             const CrashScript& script,
                                             const EngineOptions& options) {
    QueueWorkers workers;
    auto engine = open_engine(std::string(directory), options, environment(files, workers));
    if (!engine.ok()) {
        return "open: " + engine.status().ToString();
    }
    auto found = contents(**engine);
    if (!found.ok()) {
        return "read: " + found.status().ToString();
    }
    if (std::string wrong = script.judge(*found); !wrong.empty()) {
        return wrong;
    }
    const WriteBatch batch = make_batch(batch_count);
    const Model expected = after_batch(*found, batch);
    if (absl::Status status = (*engine)->write(batch, {.sync = true}); !status.ok()) {
        return "write after the restart: " + status.ToString();
    }
    workers.run_all();
    engine->reset();
    env::SimRandom random(1);
    files.crash(env::CrashMode::lost, random);
    engine = open_engine(std::string(directory), options, environment(files, workers));
    if (!engine.ok()) {
        return "second open: " + engine.status().ToString();
    }
    found = contents(**engine);
    if (!found.ok() || *found != expected) {
        return "the second restart lost the write after the first";
    }
    return "";
}

}  // namespace starling::storage
