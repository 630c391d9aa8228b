// One script for each bug of base/planted.h. A script is clean without its bug; with it, in the
// same process, the oracle says which invariant is violated. So each check is known to be able to
// fail.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/planted.h"
#include "tests/sim/planted_scripts.h"

namespace starling::sim {
namespace {

using base::PlantedBug;

struct Scripted {
    PlantedBug bug;
    // Of the first violation.
    std::string_view invariant;
    void (Script::*script)();
};

constexpr auto all_scripts = std::to_array<Scripted>({
    {PlantedBug::ack_before_fsync, "I10", &Script::a_put_is_acknowledged_by_three_nodes},
    {PlantedBug::hint_acked_before_durable,
     "I10",
     &Script::a_stand_in_with_a_slow_disk_keeps_a_hint},
    {PlantedBug::ack_at_w_minus_1, "I10", &Script::the_coordinator_is_alone},
    {PlantedBug::duplicate_ack_counts,
     "I10",
     &Script::a_holder_is_asked_twice_while_another_is_away},
    {PlantedBug::read_at_r_minus_1, "I11", &Script::all_seats_are_asked},
    {PlantedBug::count_hint_for_r, "I1", &Script::a_node_with_a_hint_reads_alone},
    {PlantedBug::counts_before_ready, "I1", &Script::a_cluster_grows_and_its_founder_is_cut_off},
    {PlantedBug::fenced_still_answers, "I1", &Script::a_giver_is_cut_off_after_its_seat_has_moved},
    {PlantedBug::merge_drops_sibling, "I1", &Script::three_siblings_are_read},
    {PlantedBug::merge_picks_larger_value, "I1", &Script::two_siblings_are_read},
    {PlantedBug::resurrected_tombstone, "I3", &Script::a_node_that_missed_a_delete_is_asked},
    {PlantedBug::dot_counter_not_persisted, "I7", &Script::a_node_writes_restarts_and_writes},
    {PlantedBug::life_begun_unsynced,
     "I9",
     &Script::a_node_dies_before_it_has_written_to_all_shards},
    {PlantedBug::context_without_own_dot, "I6", &Script::a_value_is_read},
    {PlantedBug::retry_makes_new_dot, "I8", &Script::puts_are_tried_again_through_other_nodes},
    {PlantedBug::request_ids_forgotten,
     "I15",
     &Script::a_request_arrives_again_after_it_was_replaced},
    {PlantedBug::read_repair_writes_loser, "I1", &Script::a_read_repairs_its_coordinator},
    {PlantedBug::repair_with_stale_context, "I15", &Script::a_read_repairs_what_was_replaced},
    {PlantedBug::last_write_by_dot, "I24", &Script::writes_of_two_sides_meet_where_the_last_wins},
    {PlantedBug::stale_check_alone, "I25", &Script::a_node_that_missed_a_write_gets_a_stale_one},
    {PlantedBug::fence_ignored, "I22", &Script::a_clock_is_ahead_of_all_others},
    {PlantedBug::frontier_outside_batch,
     "I1",
     &Script::a_node_crashes_while_it_stores_large_values},
    {PlantedBug::frontier_over_gap, "I1", &Script::a_node_misses_a_write_and_takes_the_next},
    {PlantedBug::hint_deleted_before_durable,
     "I10",
     &Script::a_hint_is_delivered_to_a_holder_that_dies},
    {PlantedBug::source_drops_before_comparison, "I13", &Script::a_cluster_grows},
    {PlantedBug::wal_replay_stops_silently, "I10", &Script::a_log_is_damaged_before_its_end},
    {PlantedBug::torn_tail_accepted, "I9", &Script::a_power_cut_tears_a_log},
    {PlantedBug::compaction_ends_at_damage, "I13", &Script::a_table_rots_and_is_compacted},
    {PlantedBug::emptied_counts, "I10", &Script::a_table_rots},
    {PlantedBug::set_back_unnoticed, "I1", &Script::a_disk_is_set_back},
    {PlantedBug::taken_up_unrefilled,
     "I1",
     &Script::a_disk_is_set_back_to_before_its_node_held_a_seat},
    {PlantedBug::drop_met_unnoticed,
     "I1",
     &Script::a_giver_lets_go_while_a_disk_is_refilled_from_it},
    {PlantedBug::seal_without_its_values,
     "I1",
     &Script::a_disk_is_set_back_and_nobody_remembers_it},
    {PlantedBug::scrub_reads_no_blocks, "I13", &Script::a_table_rots_and_nobody_looks},
    {PlantedBug::missing_directory_sync, "I10", &Script::the_power_fails_after_many_flushes},
    {PlantedBug::manifest_not_synced, "I10", &Script::the_power_fails_after_many_flushes},
    {PlantedBug::fsync_error_swallowed, "I10", &Script::a_sync_fails},
    {PlantedBug::filter_false_negative, "I1", &Script::many_keys_are_read_from_tables},
    {PlantedBug::tree_not_updated_on_delete, "I13", &Script::a_value_is_deleted},
    {PlantedBug::last_bucket_not_compared, "I13", &Script::a_disk_is_set_back_to_before_a_put},
    {PlantedBug::fill_keeps_collected, "I13", &Script::a_disk_is_set_back_to_before_a_delete},
    {PlantedBug::remains_not_listed, "I13", &Script::a_read_repairs_who_has_collected_a_delete},
    {PlantedBug::trees_kept_for_ever,
     "I13",
     &Script::a_node_stops_in_order_and_dies_in_its_next_life},
    {PlantedBug::two_seats_on_one_node, "I13", &Script::a_cluster_with_many_partitions_rests},
    {PlantedBug::expired_never_removed, "I13", &Script::a_value_expires},
    {PlantedBug::tombstone_collected_by_age, "I3", &Script::a_node_misses_a_delete_for_long},
    {PlantedBug::tombstone_dropped_early, "I10", &Script::a_node_that_missed_a_delete_is_asked},
    {PlantedBug::index_not_written, "I1", &Script::a_node_is_cut_off_from_a_put_and_read},
    {PlantedBug::sealed_on_hearsay, "I1", &Script::a_coordinator_dies_before_all_have_its_put},
    {PlantedBug::placement_depends_on_order, "I13", &Script::a_cluster_with_many_partitions_rests},
    {PlantedBug::refutation_same_incarnation, "I13", &Script::a_node_is_cut_off_and_comes_back},
    {PlantedBug::expired_takes_concurrent, "I1", &Script::one_of_two_siblings_expires},
    {PlantedBug::expired_value_shown, "I26", &Script::a_value_expires},
    {PlantedBug::hint_replaces_another, "I10", &Script::a_stand_in_keeps_two_hints_for_a_key},
    {PlantedBug::hint_dropped_when_seen_alive, "I10", &Script::a_stand_in_meets_the_holder_again},
    {PlantedBug::removal_ends_above_bottom, "I13", &Script::deleted_keys_are_compacted},
    {PlantedBug::session_token_ignored, "I17", &Script::a_session_reads_where_its_write_is_missing},
    {PlantedBug::mints_over_own_replica, "I15", &Script::a_node_that_missed_a_put_gets_the_next},
    {PlantedBug::put_waits_for_all, "core", &Script::two_nodes_work_without_the_third},
    {PlantedBug::equal_replicas_pull, "I14", &Script::a_value_is_deleted},
    {PlantedBug::hint_budget_ignored, "I18", &Script::a_node_misses_more_than_hints_have_room_for},
    {PlantedBug::silent_peer_holds_up_others, "core", &Script::a_node_catches_up_without_the_third},
});

std::string_view name_of(PlantedBug bug) {
    return base::planted_bug_names[static_cast<size_t>(bug)];
}

class PlantedBugTest : public ::testing::TestWithParam<Scripted> {};

TEST_P(PlantedBugTest, IsCaughtByItsScriptWhichIsCleanWithoutIt) {
    const Scripted& scripted = GetParam();
    Script script;
    for (const Violation& found : script.play(PlantedBug::none, scripted.script))
        ADD_FAILURE() << "without the bug: " << found.invariant << ": " << found.what;
    const std::vector<Violation> found = script.play(scripted.bug, scripted.script);
    ASSERT_FALSE(found.empty()) << name_of(scripted.bug) << " is not caught";
    EXPECT_EQ(found.front().invariant, scripted.invariant) << found.front().what;
}

INSTANTIATE_TEST_SUITE_P(All,
                         PlantedBugTest,
                         ::testing::ValuesIn(all_scripts),
                         [](const auto& test) { return std::string(name_of(test.param.bug)); });

TEST(PlantedBugsTest, EachHasAScript) {
    for (size_t bug = 1; bug < base::planted_bug_names.size(); ++bug) {
        EXPECT_EQ(std::ranges::count(all_scripts, static_cast<PlantedBug>(bug), &Scripted::bug), 1)
            << base::planted_bug_names[bug];
    }
}

}  // namespace
}  // namespace starling::sim
