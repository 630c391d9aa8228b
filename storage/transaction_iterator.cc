#include "storage/transaction_iterator.h"

#include <string>

namespace starling::storage {

void TransactionIterator::seek_to_first() {
    stored_->seek_to_first();
    change_ = changes_.begin();
    show_first();
}

void TransactionIterator::seek_to_last() {
    stored_->seek_to_last();
    change_ = changes_.end();
    previous_change();
    show_last();
}

void TransactionIterator::seek(std::string_view target) {
    stored_->seek(target);
    change_ = changes_.lower_bound(target);
    show_first();
}

void TransactionIterator::seek_before(std::string_view target) {
    stored_->seek_before(target);
    change_ = changes_.lower_bound(target);
    previous_change();
    show_last();
}

void TransactionIterator::next() {
    if (!forward_) {
        std::string after(key());
        after.push_back('\0');
        seek(after);
        return;
    }
    shown_ == Shown::stored ? stored_->next() : next_change();
    show_first();
}

void TransactionIterator::previous() {
    if (forward_) {
        seek_before(std::string(key()));
        return;
    }
    shown_ == Shown::stored ? stored_->previous() : previous_change();
    show_last();
}

std::string_view TransactionIterator::key() const {
    return shown_ == Shown::stored ? stored_->key() : std::string_view(change_->first);
}

std::string_view TransactionIterator::value() const {
    return shown_ == Shown::stored ? stored_->value() : std::string_view(change_->second->value);
}

Expiry TransactionIterator::expiry() const {
    return shown_ == Shown::stored ? stored_->expiry() : change_->second->expiry;
}

void TransactionIterator::note_stored() {
    shown_ = Shown::stored;
    transaction_.note_read(stored_->key(), std::string(stored_->value()));
}

void TransactionIterator::show_first() {
    forward_ = true;
    shown_ = Shown::nothing;
    while (status().ok() && (stored_->valid() || has_change())) {
        if (!has_change() || (stored_->valid() && stored_->key() < change_->first)) {
            note_stored();
            return;
        }
        if (stored_->valid() && stored_->key() == change_->first) {
            stored_->next();
        }
        if (change_->second.has_value()) {
            shown_ = Shown::change;
            return;
        }
        next_change();
    }
}

void TransactionIterator::show_last() {
    forward_ = false;
    shown_ = Shown::nothing;
    while (status().ok() && (stored_->valid() || has_change())) {
        if (!has_change() || (stored_->valid() && stored_->key() > change_->first)) {
            note_stored();
            return;
        }
        if (stored_->valid() && stored_->key() == change_->first) {
            stored_->previous();
        }
        if (change_->second.has_value()) {
            shown_ = Shown::change;
            return;
        }
        previous_change();
    }
}

}  // namespace starling::storage
