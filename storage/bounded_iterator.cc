#include "storage/bounded_iterator.h"

#include <algorithm>
#include <utility>

namespace starling::storage {

namespace {

class BoundedIterator final : public Iterator {
  public:
    BoundedIterator(std::unique_ptr<EntrySource> source,
                    std::string lower,
                    std::string upper,
                    LiveCount::Hold hold)
        : source_(std::move(source)),
          lower_(std::move(lower)),
          upper_(std::move(upper)),
          hold_(std::move(hold)) {}

    bool valid() const override { return valid_; }
    void seek_to_first() noexcept override { take(source_->first_from(lower_, false, upper_)); }
    void seek_to_last() noexcept override {
        take(source_->last_before(
            upper_.empty() ? std::nullopt : std::optional<std::string_view>(upper_), lower_));
    }
    void seek(std::string_view target) noexcept override {
        take(source_->first_from(std::max(target, std::string_view(lower_)), false, upper_));
    }
    void seek_before(std::string_view target) noexcept override {
        take(source_->last_before(
            upper_.empty() ? target : std::min(target, std::string_view(upper_)), lower_));
    }
    void next() noexcept override { take(source_->first_from(entry_.key, true, upper_)); }
    void previous() noexcept override { take(source_->last_before(entry_.key, lower_)); }
    std::string_view key() const override { return entry_.key; }
    std::string_view value() const override { return entry_.value; }
    Expiry expiry() const override { return entry_.expiry; }
    absl::Status status() const override { return status_; }

  private:
    void take(absl::StatusOr<std::optional<KeyedEntry>> found) {
        status_ = found.status();
        valid_ = found.ok() && found->has_value();
        if (valid_) {
            entry_ = **std::move(found);
        }
    }

    const std::unique_ptr<EntrySource> source_;
    const std::string lower_;
    const std::string upper_;
    const LiveCount::Hold hold_;
    bool valid_ = false;
    KeyedEntry entry_;
    absl::Status status_;
};

class RefusedIterator final : public Iterator {
  public:
    explicit RefusedIterator(absl::Status why) : why_(std::move(why)) {}
    bool valid() const override { return false; }
    void seek_to_first() override {}
    void seek_to_last() override {}
    void seek(std::string_view) override {}
    void seek_before(std::string_view) override {}
    void next() override {}
    void previous() override {}
    std::string_view key() const override { return {}; }
    std::string_view value() const override { return {}; }
    Expiry expiry() const override { return never; }
    absl::Status status() const override { return why_; }

  private:
    const absl::Status why_;
};

}  // namespace

std::unique_ptr<Iterator> new_bounded_iterator(std::unique_ptr<EntrySource> source,
                                               std::string lower,
                                               std::string upper,
                                               LiveCount::Hold hold) {
    return std::make_unique<BoundedIterator>(
        std::move(source), std::move(lower), std::move(upper), std::move(hold));
}

std::unique_ptr<Iterator> new_refused_iterator(absl::Status why) {
    return std::make_unique<RefusedIterator>(std::move(why));
}

}  // namespace starling::storage
