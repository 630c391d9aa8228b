#include "storage/lsm/memtable.h"

namespace starling::storage::lsm {

namespace {

class MemtableIterator final : public InternalIterator {
  public:
    explicit MemtableIterator(const SkipList& entries) : entries_(entries) {}

    bool valid() const override { return node_ != nullptr; }
    void seek_to_first() override { node_ = entries_.first(); }
    void seek_to_last() override { node_ = entries_.last(); }
    void seek(std::string_view internal_key) override {
        node_ = entries_.seek(user_key_of(internal_key), tag_of(internal_key));
    }
    void next() override { node_ = node_->next(); }
    void previous() override { node_ = entries_.seek_before(node_->user_key(), node_->tag()); }
    std::string_view key() const override { return node_->internal_key(); }
    std::string_view value() const override { return node_->value(); }
    absl::Status status() const override { return absl::OkStatus(); }

  private:
    const SkipList& entries_;
    const SkipList::Node* node_ = nullptr;
};

}  // namespace

void Memtable::add(Sequence sequence,
                   ChangeKind kind,
                   std::string_view key,
                   std::string_view value) {
    entries_.insert(key, make_tag(sequence, kind), value);
    last_sequence_ = sequence;
    ++entry_count_;
    removal_count_ += kind == ChangeKind::remove ? 1 : 0;
}

void Memtable::remove_range(Sequence sequence, std::string_view begin, std::string_view end) {
    last_sequence_ = sequence;
    range_bytes_ += sizeof(RangeRemoval) + begin.size() + end.size();
    if (end.empty() || begin < end) {
        range_removals_.push_back(
            {.begin = std::string(begin), .end = std::string(end), .sequence = sequence});
    }
}

bool Memtable::get(std::string_view key, Sequence sequence, FoundEntry& found) const {
    const SkipList::Node* const node = entries_.seek(key, seek_tag(sequence));
    if (node == nullptr || node->user_key() != key) {
        return false;
    }
    found.tag = node->tag();
    found.value.assign(node->value());
    return true;
}

std::unique_ptr<InternalIterator> Memtable::new_iterator() const {
    return std::make_unique<MemtableIterator>(entries_);
}

}  // namespace starling::storage::lsm
