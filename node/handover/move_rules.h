#pragma once

namespace starling::node {

// The rules of the protocol that are easily got wrong, each with a switch that breaks it. Tests
// turn one off at a time and expect the harm that docs/handover.md predicts; nothing else ever
// changes them.
struct MoveRules {
    // A fenced giver serves the successor it named and no other.
    bool is_fence_exclusive = true;
    // `fenced` is on disk before the successor hears of it.
    bool is_fence_durable = true;
    // The last difference comes from the giver.
    bool is_difference_from_giver = true;
    // A successor counts only after the last difference.
    bool is_synced_before_holding = true;
    // `holding` is on disk before it counts.
    bool is_hold_durable = true;
    // "declined" is said only by who has it on disk.
    bool is_declined_remembered = true;
    // A giver needs the leave of a majority of the seats.
    bool is_permit_needed = true;
};

}  // namespace starling::node
