#pragma once

// Planted bugs: mistakes put into the code on purpose, so that the simulator can show that it would
// have found them. A point in the code names its bug:
//
//     if (STARLING_PLANTED(ack_at_w_minus_1)) { ... }
//
// In every normal build the condition is the constant `false` and the branch is not there. Only a
// build configured with -DSTARLING_PLANTED_BUGS=ON (preset `planted`; never installed, used by the
// simulator alone) can turn one on, at most one per process. docs/simulator.md lists what each
// does.

#include <array>
#include <cstddef>
#include <string_view>

namespace starling::base {

// A bug is one line here, and one or more points in the code.
#define STARLING_PLANTED_BUG_LIST(BUG)  \
    BUG(ack_before_fsync)               \
    BUG(hint_acked_before_durable)      \
    BUG(ack_at_w_minus_1)               \
    BUG(duplicate_ack_counts)           \
    BUG(read_at_r_minus_1)              \
    BUG(count_hint_for_r)               \
    BUG(counts_before_ready)            \
    BUG(fenced_still_answers)           \
    BUG(merge_drops_sibling)            \
    BUG(merge_picks_larger_value)       \
    BUG(resurrected_tombstone)          \
    BUG(dot_counter_not_persisted)      \
    BUG(life_begun_unsynced)            \
    BUG(context_without_own_dot)        \
    BUG(retry_makes_new_dot)            \
    BUG(request_ids_forgotten)          \
    BUG(read_repair_writes_loser)       \
    BUG(repair_with_stale_context)      \
    BUG(last_write_by_dot)              \
    BUG(stale_check_alone)              \
    BUG(fence_ignored)                  \
    BUG(frontier_outside_batch)         \
    BUG(frontier_over_gap)              \
    BUG(hint_deleted_before_durable)    \
    BUG(source_drops_before_comparison) \
    BUG(wal_replay_stops_silently)      \
    BUG(torn_tail_accepted)             \
    BUG(missing_directory_sync)         \
    BUG(manifest_not_synced)            \
    BUG(fsync_error_swallowed)          \
    BUG(emptied_counts)                 \
    BUG(set_back_unnoticed)             \
    BUG(taken_up_unrefilled)            \
    BUG(drop_met_unnoticed)             \
    BUG(seal_without_its_values)        \
    BUG(filter_false_negative)          \
    BUG(tree_not_updated_on_delete)     \
    BUG(last_bucket_not_compared)       \
    BUG(tombstone_dropped_early)        \
    BUG(fill_keeps_collected)           \
    BUG(remains_not_listed)             \
    BUG(index_not_written)              \
    BUG(sealed_on_hearsay)              \
    BUG(placement_depends_on_order)     \
    BUG(refutation_same_incarnation)    \
    BUG(session_token_ignored)          \
    BUG(mints_over_own_replica)         \
    BUG(expired_takes_concurrent)       \
    BUG(expired_value_shown)            \
    BUG(hint_replaces_another)          \
    BUG(hint_dropped_when_seen_alive)   \
    BUG(removal_ends_above_bottom)      \
    BUG(compaction_ends_at_damage)      \
    BUG(scrub_reads_no_blocks)          \
    BUG(put_waits_for_all)              \
    BUG(equal_replicas_pull)            \
    BUG(hint_budget_ignored)            \
    BUG(silent_peer_holds_up_others)    \
    BUG(trees_kept_for_ever)            \
    BUG(two_seats_on_one_node)          \
    BUG(expired_never_removed)          \
    BUG(tombstone_collected_by_age)

enum class PlantedBug {
    none,
#define STARLING_PLANTED_ENUMERATOR(name) name,
    STARLING_PLANTED_BUG_LIST(STARLING_PLANTED_ENUMERATOR)
#undef STARLING_PLANTED_ENUMERATOR
};

#define STARLING_PLANTED_NAME(name) std::string_view(#name),
inline constexpr std::array planted_bug_names = {std::string_view("none"),
                                                 STARLING_PLANTED_BUG_LIST(STARLING_PLANTED_NAME)};
#undef STARLING_PLANTED_NAME

#ifdef STARLING_PLANTED_BUGS
inline constexpr bool planted_bugs_built = true;
// Set before the simulation starts; one process has one thread and one bug.
inline PlantedBug planted_bug = PlantedBug::none;
#define STARLING_PLANTED(name) (::starling::base::planted_bug == ::starling::base::PlantedBug::name)
#else
inline constexpr bool planted_bugs_built = false;
// Names the enumerator, so that a point with a misspelt name fails in every build.
#define STARLING_PLANTED(name) \
    (::starling::base::PlantedBug::name == ::starling::base::PlantedBug::none)
#endif

}  // namespace starling::base
