#pragma once

// The rules that the group model follows. All true: as they are meant to be; each can be made
// weaker, to show what it is for.

namespace starling::node::group_model {

struct Rules {
    // R6: holes of ended lives are sealed.
    bool sealing = true;
    // R6: only on the word of all owners and members.
    bool seal_on_proof = true;
    // R6: members say that they have no hints.
    bool seal_asks_members = true;
    // R6: who fills a seat keeps what it was sent, and says so like who keeps hints.
    bool who_fills_is_asked = true;
    // R6: owners answer a question that was asked after that.
    bool seal_asks_owners_last = true;
    // R6: a question has a number that was never used before.
    bool questions_are_new = true;
    // R1: before it is durable at its owner only the message of a new write is sent; not hints of
    // it, nor the record that answers a retry.
    bool only_messages_are_early = true;
    // R6: a hint brings what it holds of the life that its write is of.
    bool hints_bring_their_life = true;
    // R7: what an owner said before the hints were gone does not count.
    bool words_follow_hints = true;
    // R2: what is refused lends no context.
    bool refused_is_not_applied = true;
    // R5: waits for owners that are not heard of.
    bool drop_waits_for_all = true;
    // R5: what a tombstone superseded must have been seen, too.
    bool drop_covers_superseded = true;
    // R8: an entry stays until the record's siblings have been seen, too.
    bool strip_waits_for_siblings = true;
    // R8: and until all that it covers has been seen.
    bool strip_waits_for_covered = true;
    // R2: a message that holds a value which was seen here and is not accounted for is refused.
    bool unaccounted_is_refused = true;
    // R3: what the frontier has and the record has not is refused.
    bool absent_asks_frontier = true;
    // R7: an id is forgotten only when what ended lives wrote can no more come, either.
    bool forget_asks_for_ended_lives = true;
    // R5: a report counts for the seats that its sender holds, since it holds them.
    bool tenures = true;
    // Who fills a seat takes its giver's word for what that has no more.
    bool fill_takes_givers_word = true;
    // R4: and is told of tombstones that are in no index any more.
    bool fill_names_tombstones = true;
    // A copy is of what is durable at the giver.
    bool copies_are_durable = true;
    // R4: who hands over a frontier answers for each dot that not all have seen.
    bool pull_explains = true;
    // R1: who has lost sight of a dot of its own in this life mints nothing.
    bool mints_above_own = true;
    // Actors have random bits.
    bool actors_are_random = true;
    // R4: the dots of a page are claimed when all of its records were merged.
    bool pages_are_merged_whole = true;
    // R11: a removal names the request of its value, not the dot.
    bool removals_name_no_dot = true;
    // R11: an expired value stays while it hides a younger one.
    bool hiding_values_stay = true;
    // R7. Off, the memory of requests hides no fault of the other rules, and nobody retries.
    bool requests_remembered = true;

    // From here on: ahead of the node.

    // Disks are wiped, set back, and lose records. Off, none of the following is needed.
    bool disks_fail = true;
    // R5: reports of lost data do not count.
    bool epochs = true;
    // R10: a disk that was set back or wiped is not used before it was filled anew.
    bool refills = true;
    // R9: in an owner's state such a value shows that it was lost here.
    bool loss_is_no_deletion = true;
    // R9: not in the state of who is being filled.
    bool only_owners_show_losses = true;
    // R6: a hint brings all writes of its record, and its keeper, who takes none of an ended life,
    // says so of each.
    bool hints_bring_all = true;
    // I2: a record that is to be changed holds, or explains, each dot of it that not all have seen.
    bool change_asks_index = true;
};

// What the node does, on disks that keep what they are given and are never set back.
inline Rules as_in_the_node() {
    Rules rules;
    rules.disks_fail = false;
    rules.epochs = false;
    rules.refills = false;
    rules.loss_is_no_deletion = false;
    rules.hints_bring_all = false;
    rules.change_asks_index = false;
    return rules;
}

// Without the search for damage, which often takes the healthy for the damaged when another rule is
// broken.
inline Rules bare(Rules rules) {
    rules.pull_explains = false;
    rules.unaccounted_is_refused = false;
    rules.loss_is_no_deletion = false;
    rules.change_asks_index = false;
    return rules;
}

// The memory of superseded requests hides many a fault, until its window has passed.
inline Rules without_memory(Rules rules) {
    rules.requests_remembered = false;
    return rules;
}

}  // namespace starling::node::group_model
