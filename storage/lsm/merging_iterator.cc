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
        if (!forward_) {
            turn_forward();
        }
        if (valid()) {
            heap_.front()->next();
            top_moved();
        }
    }
    void previous() override {
        if (forward_) {
            turn_backward();
        }
        if (valid()) {
            heap_.front()->previous();
            top_moved();
        }
    }
    std::string_view key() const override { return heap_.front()->key(); }
    std::string_view value() const override { return heap_.front()->value(); }
    absl::Status status() const override { return status_; }

  private:
    bool after(const InternalIterator* a, const InternalIterator* b) const {
        const int order = compare_internal(a->key(), b->key());
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
        status_ = absl::OkStatus();
        heap_.clear();
        for (const auto& child : children_) {
            if (child->valid()) {
                heap_.push_back(child.get());
            } else if (failed(*child)) {
                return;
            }
        }
        std::make_heap(heap_.begin(), heap_.end(), order());
    }

    void top_moved() {
        if (heap_.front()->valid()) {
            sift_down();
            return;
        }
        if (failed(*heap_.front())) {
            return;
        }
        heap_.front() = heap_.back();
        heap_.pop_back();
        if (!heap_.empty()) {
            sift_down();
        }
    }

    // Moves the top to its place.
    void sift_down() {
        size_t hole = 0;
        InternalIterator* const moved = heap_.front();
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
        InternalIterator* const current = heap_.front();
        for (const auto& child : children_) {
            if (child.get() != current) {
                child->seek(current->key());
            }
        }
        build(true);
    }
    void turn_backward() {
        InternalIterator* const current = heap_.front();
        for (const auto& child : children_) {
            if (child.get() == current) {
                continue;
            }
            child->seek(current->key());
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

    struct Order {
        const MergingIterator* iterator;
        bool operator()(const InternalIterator* a, const InternalIterator* b) const {
            return iterator->after(a, b);
        }
    };
    Order order() const { return {this}; }

    const std::vector<std::unique_ptr<InternalIterator>> children_;
    std::vector<InternalIterator*> heap_;
    bool forward_ = true;
    absl::Status status_;
};

}  // namespace

std::unique_ptr<InternalIterator> new_merging_iterator(
    std::vector<std::unique_ptr<InternalIterator>> children) {
    return std::make_unique<MergingIterator>(std::move(children));
}

}  // namespace starling::storage::lsm
