// Everything is delivered, exchanged, sealed and collected; what comes of a history in the end.

#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

Group::Group(Rules rules) : rules_(rules) {
    for (size_t seat = 0; seat < seat_count; ++seat)
        seats_[seat] = {.holder = seat, .epoch = 1};
    for (size_t node = 0; node < node_count; ++node) {
        members_[node].view = seats_;
        begin_life(node);
    }
}

void Group::converge_round() {
    now_ += request_window + 1;
    const auto for_each_node = [&](auto&& act) {
        for (size_t i = 0; i < node_count; ++i)
            act(i);
    };
    for_each_node([&](size_t i) { refill(i); });
    talk(std::nullopt);
    for_each_node([&](size_t i) {
        for (size_t hint = hint_count(i); hint > 0; --hint)
            deliver_hint(i, hint - 1);
        expire(i);
        sync(i);
    });
    for (int round = 0; round < 2; ++round) {
        for_each_node([&](size_t to) {
            for_each_node([&](size_t from) {
                pull(to, from);
                sync(to);
            });
        });
        for_each_node([&](size_t i) { refill(i); });
    }
    finish_move();
    for (size_t key = 0; key < key_count; ++key) {
        for_each_node([&](size_t to) {
            for_each_node([&](size_t from) {
                exchange(to, from, key);
                sync(to);
            });
        });
    }
    for_each_node([&](size_t i) { refill(i); });
    // Asks, and is answered.
    talk(std::nullopt);
    talk(std::nullopt);
    for_each_node([&](size_t i) {
        strip(i);
        collect(i);
        forget(i);
        sync(i);
    });
}

void Group::converge() {
    constexpr int rounds_min = 2;
    constexpr int rounds_max = 8;
    // A round makes the seals of the one before known, and with them collects the rest; a disk that
    // is found to be damaged is filled in the one after.
    for (int round = 0; round < rounds_max; ++round) {
        if (round >= rounds_min && !violation().has_value()) return;
        converge_round();
        if (round == 1 && has_lost_disk_) end_lives_with_holes();
    }
}

// A lost disk may have had the only copy of what a living node wrote before it gave its seat away:
// such a hole is closed once that life has ended.
void Group::end_lives_with_holes() {
    for (size_t i = 0; i < node_count; ++i) {
        const Member& node = members_[i];
        const bool has_own = node.now.frontier.seen_of(node.actor).base == node.minted_count;
        if (!holds_seat(i) || !has_own) crash(i);
    }
}

}  // namespace starling::node::group_model
