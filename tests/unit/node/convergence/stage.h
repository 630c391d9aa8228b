#pragma once

// For the named scenarios of docs/causality.md. Each says what the rules give, and shows that a
// weaker one in their place loses a write, brings one back, or keeps replicas apart for ever.

#include <string>
#include <vector>

#include "tests/unit/node/convergence/group_model.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node::group_model {

inline constexpr size_t A = 0;
inline constexpr size_t B = 1;
inline constexpr size_t C = 2;
// Holds no seat at first.
inline constexpr size_t D = 3;
inline constexpr size_t k = 0;
inline constexpr size_t k2 = 1;

inline const std::string as_it_should_be = "as it should be";

// A group with a hand for each step.
struct Stage : Group {
    using Group::Group;

    void write(size_t owner, size_t key, uint64_t number, bool is_tombstone = false) {
        put({.owner = owner,
             .key = key,
             .request = testing::request(number),
             .is_tombstone = is_tombstone,
             .replaces = Replaces::seen_by_reader,
             .other_owner = owner,
             .reading = read(owner, key)});
    }
    // By a client that has read nothing.
    void write_expiring(size_t owner, size_t key, uint64_t number, Replaces replaces) {
        put({.owner = owner,
             .key = key,
             .request = testing::request(number),
             .replaces = replaces,
             .other_owner = owner,
             .expires = true});
        sync(owner);
    }
    void write_durably(size_t owner, size_t key, uint64_t number, bool is_tombstone = false) {
        write(owner, key, number, is_tombstone);
        sync(owner);
    }
    // Messages of a request to one owner, durable there.
    void carry(size_t to, uint64_t number) {
        for (const Message& message : of(to, number))
            deliver(message);
        sync(to);
    }
    // D keeps hints of the messages to `to`.
    void hint(size_t to, uint64_t number) {
        for (const Message& message : of(to, number))
            take_hint(D, message);
    }
    void spread(size_t owner, size_t key, uint64_t number, bool is_tombstone = false) {
        write_durably(owner, key, number, is_tombstone);
        for (const size_t to : {A, B, C}) {
            if (to != owner) carry(to, number);
        }
    }
    void tell(size_t from, size_t to) {
        report(from, to);
        deliver_report(report_count() - 1);
    }
    // What one concludes is of what it has said of itself, so the first tells again.
    void tell_each_other(size_t a, size_t b) {
        tell(a, b);
        tell(b, a);
        tell(a, b);
    }
    void tell_all() {
        for (int round = 0; round < 2; ++round) {
            for (const size_t from : {A, B, C, D}) {
                for (const size_t to : {A, B, C, D}) {
                    if (from != to && holds_seat(from)) tell(from, to);
                }
            }
        }
    }
    // All hear of all, and forget what they may.
    void collect_all() {
        tell_all();
        for (const size_t owner : {A, B, C}) {
            collect(owner);
            sync(owner);
        }
    }
    void learn_all(size_t about) {
        for (const size_t node : {A, B, C, D})
            learn_start(node, about);
    }
    void learn_seats() {
        for (const size_t node : {A, B, C, D}) {
            for (size_t seat = 0; seat < seat_count; ++seat)
                learn_seat(node, seat);
        }
    }
    void tell_hints_to(size_t to) {
        for (const size_t from : {A, B, C, D})
            tell_hints(from, to);
    }
    void wait(uint64_t ticks) {
        for (uint64_t i = 0; i < ticks; ++i)
            tick();
    }
    std::string outcome() {
        converge();
        return violation().value_or(as_it_should_be);
    }

  private:
    std::vector<Message> of(size_t to, uint64_t number) const {
        std::vector<Message> found;
        for (const Message& message : messages()) {
            const Sibling* sibling = message.record.find(testing::request(number));
            if (message.to == to && sibling != nullptr && sibling->dot == message.dot) {
                found.push_back(message);
            }
        }
        return found;
    }
};

// So that a hint may be all that is left of a write.
inline Rules with_early_hints(Rules rules) {
    rules.only_messages_are_early = false;
    return rules;
}

}  // namespace starling::node::group_model
