#include "storage/read_only_engine.h"

#include <utility>

#include "base/error.h"

namespace starling::storage {

namespace {

absl::Status refused() {
    return base::make_error(absl::StatusCode::kFailedPrecondition,
                            base::reason::read_only,
                            "the storage engine was opened read-only");
}

class ReadOnlyEngine final : public Engine {
  public:
    explicit ReadOnlyEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const Snapshot* snapshot) override {
        return engine_->get(key, snapshot);
    }
    absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) override {
        return engine_->get_from_memory(key);
    }
    absl::StatusOr<std::optional<Entry>> get_entry(std::string_view key,
                                                   const Snapshot* snapshot) override {
        return engine_->get_entry(key, snapshot);
    }
    absl::Status write(const WriteBatch&, WriteOptions) override { return refused(); }
    absl::Status write_if(std::span<const Condition>, const WriteBatch&, WriteOptions) override {
        return refused();
    }
    // There is nothing that it could make durable.
    absl::Status sync() override { return refused(); }
    std::unique_ptr<Iterator> new_iterator(IteratorOptions options) override {
        return engine_->new_iterator(std::move(options));
    }
    std::unique_ptr<Snapshot> snapshot() override { return engine_->snapshot(); }
    absl::Status checkpoint(const std::string&) override { return refused(); }
    absl::Status compact() override { return refused(); }
    void reclaim_while_quiet() override {}
    absl::StatusOr<std::vector<KeyRange>> find_damage() override { return engine_->find_damage(); }
    absl::StatusOr<ScrubStep> scrub(uint64_t bytes) override { return engine_->scrub(bytes); }
    absl::Status give_up(std::span<const KeyRange>) override { return refused(); }
    void end_searches() override { engine_->end_searches(); }
    absl::Status damage() const override { return engine_->damage(); }
    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const override {
        return engine_->approximate_bytes(begin, end);
    }
    WritePressure write_pressure() const override { return WritePressure::refusing; }
    absl::Status background_error() const override { return refused(); }
    EngineStatistics statistics() const override { return engine_->statistics(); }
    absl::Status close() override { return engine_->close(); }

  private:
    const std::unique_ptr<Engine> engine_;
};

}  // namespace

std::unique_ptr<Engine> make_read_only(std::unique_ptr<Engine> engine) {
    return std::make_unique<ReadOnlyEngine>(std::move(engine));
}

}  // namespace starling::storage
