#include "storage/lsm/merging_iterator.h"

#include <algorithm>
#include <utility>

#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

namespace {

// A heap of the children that are valid; the top is the current entry. Going forward all other
// children stand after the current entry, going backward before it.
class MergingIterator final : public InternalIterator {
  public:
    explicit MergingIterator(std::vector<std::unique_ptr<InternalIterator>> children)
        : children_(std::move(children)) {
        heap_.reserve(children_.size());
    }

    bool valid() const override { return !heap_.empty(); }
    void seek_to_first() override {
        for (const auto& child : children_) {
            child->seek_to_first();
        }
        build(true);
    }
    void seek_to_last() override {
        for (const auto& child : children_) {
            child->seek_to_last();
        }
        build(false);
    }
    void seek(std::string_view internal_key) override {
        for (const auto& child : children_) {
            child->seek(internal_key);
        }
        build(true);
    }
    void next() override {
        if (!forward_) [[unlikely]] {
            turn_forward();
        }
        if (valid()) {
            Entry& top = heap_.front();
            top_moved(top.child->step(top.key));
        }
    }
    bool step(std::string_view& new_key) override {
        MergingIterator::next();
        return here(new_key);
    }
    bool step_back(std::string_view& new_key) override {
        MergingIterator::previous();
        return here(new_key);
    }
    void previous() override {
        if (forward_) [[unlikely]] {
            turn_backward();
        }
        if (valid()) {
            Entry& top = heap_.front();
            top_moved(top.child->step_back(top.key));
        }
    }
    std::string_view key() const override { return heap_.front().key; }
    std::string_view value() const override { return heap_.front().child->value(); }
    absl::Status status() const override { return status_; }

  private:
    struct Entry {
        InternalIterator* child;
        // The child's.
        std::string_view key;
    };

    bool here(std::string_view& key_here) const {
        if (heap_.empty()) {
            return false;
        }
        key_here = heap_.front().key;
        return true;
    }

    bool after(const Entry& a, const Entry& b) const {
        const int order = compare_internal(a.key, b.key);
        return forward_ ? order > 0 : order < 0;
    }

    // True when the child ended by an error.
    bool failed(const InternalIterator& child) {
        if (absl::Status status = child.status(); !status.ok()) {
            status_ = std::move(status);
            heap_.clear();
            return true;
        }
        return false;
    }

    void build(bool forward) {
        forward_ = forward;
        runner_up_ = 0;
        status_ = absl::OkStatus();
        heap_.clear();
        for (const auto& child : children_) {
            if (child->valid()) {
                heap_.push_back({.child = child.get(), .key = child->key()});
            } else if (failed(*child)) {
                return;
            }
        }
        std::make_heap(heap_.begin(), heap_.end(), [this](const Entry& a, const Entry& b) {
            return after(a, b);
        });
    }

    // Runs of entries often come from one child: then one comparison, with the best of the others,
    // shows that the top stays.
    void top_moved(bool is_valid) {
        if (!is_valid) [[unlikely]] {
            if (failed(*heap_.front().child)) {
                return;
            }
            heap_.front() = heap_.back();
            heap_.pop_back();
            runner_up_ = 0;
            if (!heap_.empty()) {
                sift_down();
            }
            return;
        }
        if (heap_.size() == 1) {
            return;
        }
        if (runner_up_ == 0) {
            runner_up_ = heap_.size() > 2 && after(heap_[1], heap_[2]) ? 2 : 1;
        }
        if (after(heap_.front(), heap_[runner_up_])) {
            sift_down();
            runner_up_ = 0;
        }
    }

    // Moves the top to its place.
    void sift_down() {
        size_t hole = 0;
        const Entry moved = heap_.front();
        for (;;) {
            size_t child = 2 * hole + 1;
            if (child >= heap_.size()) {
                break;
            }
            if (child + 1 < heap_.size() && after(heap_[child], heap_[child + 1])) {
                ++child;
            }
            if (!after(moved, heap_[child])) {
                break;
            }
            heap_[hole] = heap_[child];
            hole = child;
        }
        heap_[hole] = moved;
    }

    // Puts every other child on the other side of the current entry.
    void turn_forward() {
        const Entry current = heap_.front();
        for (const auto& child : children_) {
            if (child.get() != current.child) {
                child->seek(current.key);
            }
        }
        build(true);
    }
    void turn_backward() {
        const Entry current = heap_.front();
        for (const auto& child : children_) {
            if (child.get() == current.child) {
                continue;
            }
            child->seek(current.key);
            if (child->valid()) {
                child->previous();
            } else if (failed(*child)) {
                return;
            } else {
                child->seek_to_last();
            }
        }
        build(false);
    }

    const std::vector<std::unique_ptr<InternalIterator>> children_;
    std::vector<Entry> heap_;
    // Where the best entry but the top stands, as long as the top was the only one to move; 0: not
    // known.
    size_t runner_up_ = 0;
    bool forward_ = true;
    absl::Status status_;
};

}  // namespace

std::unique_ptr<InternalIterator> new_merging_iterator(
    std::vector<std::unique_ptr<InternalIterator>> children) {
    if (children.size() == 1) {
        return std::move(children.front());
    }
    return std::make_unique<MergingIterator>(std::move(children));
}

}  // namespace starling::storage::lsm
