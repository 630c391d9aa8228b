#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "storage/engine.h"

namespace starling::storage {

// Lets a test act, once, between the calls that an operation is made of.
class InterceptedEngine final : public Engine {
  public:
    explicit InterceptedEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

    std::function<void()> before_get;
    std::function<void()> before_write_if;

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const Snapshot* snapshot) override {
        act(before_get);
        return engine_->get(key, snapshot);
    }
    absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) override {
        return engine_->get_from_memory(key);
    }
    absl::StatusOr<std::optional<Entry>> get_entry(std::string_view key,
                                                   const Snapshot* snapshot) override {
        return engine_->get_entry(key, snapshot);
    }
    absl::Status write(const WriteBatch& batch, WriteOptions options) override {
        return engine_->write(batch, options);
    }
    absl::Status write_if(std::span<const Condition> conditions,
                          const WriteBatch& batch,
                          WriteOptions options) override {
        act(before_write_if);
        return engine_->write_if(conditions, batch, options);
    }
    absl::Status sync() override { return engine_->sync(); }
    std::unique_ptr<Iterator> new_iterator(IteratorOptions options) override {
        return engine_->new_iterator(std::move(options));
    }
    std::unique_ptr<Snapshot> snapshot() override { return engine_->snapshot(); }
    absl::Status checkpoint(const std::string& directory) override {
        return engine_->checkpoint(directory);
    }
    absl::Status compact() override { return engine_->compact(); }
    void reclaim_while_quiet() override { engine_->reclaim_while_quiet(); }
    absl::StatusOr<std::vector<KeyRange>> find_damage() override { return engine_->find_damage(); }
    absl::StatusOr<ScrubStep> scrub(uint64_t bytes) override { return engine_->scrub(bytes); }
    absl::Status give_up(std::span<const KeyRange> ranges) override {
        return engine_->give_up(ranges);
    }
    void end_searches() override { engine_->end_searches(); }
    absl::Status damage() const override { return engine_->damage(); }
    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const override {
        return engine_->approximate_bytes(begin, end);
    }
    WritePressure write_pressure() const override { return engine_->write_pressure(); }
    absl::Status background_error() const override { return engine_->background_error(); }
    EngineStatistics statistics() const override { return engine_->statistics(); }
    absl::Status close() override { return engine_->close(); }

  private:
    static void act(std::function<void()>& action) {
        if (action != nullptr) {
            std::exchange(action, nullptr)();
        }
    }

    const std::unique_ptr<Engine> engine_;
};

}  // namespace starling::storage
