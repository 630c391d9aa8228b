#include "storage/lsm/user_iterator.h"

#include <algorithm>
#include <utility>

#include "storage/lsm/stored_value.h"

namespace starling::storage::lsm {

namespace {

// Going forward, entries_ stands on the entry shown. Going backward it stands before all entries of
// the key shown, which is kept in key_ and value_: only its last entry, reached at the end, is the
// newest.
class UserIterator final : public Iterator {
  public:
    UserIterator(std::shared_ptr<const ReadView> view,
                 std::unique_ptr<InternalIterator> entries,
                 IteratorOptions options,
                 Sequence sequence,
                 Expiry now,
                 ValueFiles& values,
                 LiveCount::Hold hold)
        : view_(std::move(view)),
          entries_(std::move(entries)),
          options_(std::move(options)),
          sequence_(sequence),
          now_(now),
          values_(values),
          hold_(std::move(hold)) {}

    bool valid() const override { return valid_; }
    absl::Status status() const override { return damage_.ok() ? entries_->status() : damage_; }
    std::string_view key() const override {
        return forward_ ? user_key_of(entry_key_) : std::string_view(key_);
    }
    std::string_view value() const override {
        if (!forward_) {
            return value_;
        }
        return is_plain_ ? entries_->value() : shown_.value;
    }
    Expiry expiry() const override { return shown_.expiry; }

    void seek_to_first() noexcept override { seek({}); }

    void seek_to_last() noexcept override {
        if (!options_.upper.empty()) {
            seek_before(options_.upper);
            return;
        }
        entries_->seek_to_last();
        show_previous_key(entries_->look(entry_key_));
    }

    void seek(std::string_view target) noexcept override {
        const std::string_view from = std::max(target, std::string_view(options_.lower));
        if (from.empty()) {
            entries_->seek_to_first();
        } else {
            // Not in key_, which `target` may point to.
            seek_key_.clear();
            append_internal_key(seek_key_, from, seek_tag(sequence_));
            entries_->seek(seek_key_);
        }
        show_next_key(entries_->look(entry_key_), std::nullopt);
    }

    void seek_before(std::string_view target) noexcept override {
        const std::string_view end =
            options_.upper.empty() ? target : std::min(target, std::string_view(options_.upper));
        entries_->seek(make_internal_key(end, seek_tag(sequence_max)));
        if (entries_->valid()) {
            entries_->previous();
        } else if (entries_->status().ok()) {
            entries_->seek_to_last();
        }
        show_previous_key(entries_->look(entry_key_));
    }

    void next() noexcept override {
        if (forward_) {
            key_.assign(user_key_of(entry_key_));
            show_next_key(entries_->step(entry_key_), key_);
            return;
        }
        if (entries_->valid()) {
            // Before all entries of key_; those are hidden below.
            entries_->next();
        } else {
            entries_->seek_to_first();
        }
        show_next_key(entries_->look(entry_key_), key_);
    }

    void previous() noexcept override {
        bool there = entries_->valid();
        if (forward_) {
            key_.assign(user_key_of(entry_key_));
            do {
                there = entries_->step_back(entry_key_);
            } while (there && user_key_of(entry_key_) == key_);
        }
        show_previous_key(there);
    }

  private:
    bool visible(uint64_t tag) const { return sequence_of_tag(tag) <= sequence_; }

    // Sets shown_ when the entry, the newest of its key that the reader may see, has a value for
    // it.
    bool show(std::string_view user_key, uint64_t tag) {
        const ChangeKind kind = kind_of_tag(tag);
        if (kind == ChangeKind::remove ||
            view_->range_removals->hides(user_key, sequence_of_tag(tag), sequence_)) {
            return false;
        }
        is_plain_ = kind == ChangeKind::put;
        if (is_plain_) [[likely]] {
            shown_.expiry = never;
            return true;
        }
        const auto view = view_value(kind, entries_->value());
        if (!view.has_value()) {
            damage_ = absl::DataLossError("a value is not what its kind says");
            return false;
        }
        shown_ = *view;
        const bool visible =
            shown_.expiry == never || shown_.expiry > now_ || options_.include_expired;
        return visible && (!shown_.is_separate || fetch());
    }

    bool fetch() {
        auto value = values_.read(*decode_value_pointer(shown_.value));
        if (!value.ok()) {
            damage_ = value.status();
            return false;
        }
        separate_value_ = *std::move(value);
        shown_.value = separate_value_;
        return true;
    }

    // From entries_ on, when an entry is `there`: the first key that has a value. `hidden` may
    // point to key_.
    void show_next_key(bool there, std::optional<std::string_view> hidden) {
        forward_ = true;
        valid_ = false;
        damage_ = absl::OkStatus();
        for (; there; there = entries_->step(entry_key_)) {
            const std::string_view user_key = user_key_of(entry_key_);
            if (!options_.upper.empty() && user_key >= options_.upper) {
                return;
            }
            const uint64_t tag = tag_of(entry_key_);
            if (!visible(tag) || (hidden.has_value() && user_key == *hidden)) {
                continue;
            }
            if (show(user_key, tag)) {
                valid_ = true;
                return;
            }
            if (!damage_.ok()) {
                return;
            }
            key_.assign(user_key);
            hidden = key_;
        }
    }

    // From entries_ back, when an entry is `there`: the first key that has a value.
    void show_previous_key(bool there) {
        forward_ = false;
        valid_ = false;
        damage_ = absl::OkStatus();
        ValueView kept;
        for (; there; there = entries_->step_back(entry_key_)) {
            const std::string_view user_key = user_key_of(entry_key_);
            if ((valid_ && user_key != key_) || user_key < options_.lower) {
                shown_.expiry = kept.expiry;
                return;
            }
            const uint64_t tag = tag_of(entry_key_);
            if (!visible(tag)) {
                continue;
            }
            // Newer than what was seen of this key before.
            valid_ = show(user_key, tag);
            if (valid_) {
                key_.assign(user_key);
                value_.assign(is_plain_ ? entries_->value() : shown_.value);
                kept = shown_;
            } else if (!damage_.ok()) {
                return;
            }
        }
        shown_.expiry = kept.expiry;
        if (!entries_->status().ok()) {
            valid_ = false;
        }
    }

    const std::shared_ptr<const ReadView> view_;
    const std::unique_ptr<InternalIterator> entries_;
    const IteratorOptions options_;
    const Sequence sequence_;
    const Expiry now_;
    ValueFiles& values_;
    const LiveCount::Hold hold_;
    std::string separate_value_;
    bool forward_ = true;
    bool valid_ = false;
    // Where entries_ stands, if anywhere.
    std::string_view entry_key_;
    std::string key_;
    std::string value_;
    // The entry shown: a plain value is entries_'s own.
    bool is_plain_ = false;
    ValueView shown_;
    absl::Status damage_;
    std::string seek_key_;
};

}  // namespace

std::unique_ptr<Iterator> new_user_iterator(std::shared_ptr<const ReadView> view,
                                            std::unique_ptr<InternalIterator> entries,
                                            IteratorOptions options,
                                            Sequence sequence,
                                            Expiry now,
                                            ValueFiles& values,
                                            LiveCount::Hold hold) {
    return std::make_unique<UserIterator>(std::move(view),
                                          std::move(entries),
                                          std::move(options),
                                          sequence,
                                          now,
                                          values,
                                          std::move(hold));
}

}  // namespace starling::storage::lsm
