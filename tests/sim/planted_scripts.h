#pragma once

// What happens in each script of planted_scenario_test.cc: just enough for one bug of
// base/planted.h to show.

#include <chrono>
#include <string>
#include <vector>

#include "base/planted.h"
#include "tests/sim/forgotten_disk.h"

namespace starling::sim {

class Script : public ForgottenDisk {
  public:
    void TestBody() override {}

    // The violations of the script with this bug, in order; PlantedBug::none for no bug.
    std::vector<Violation> play(base::PlantedBug bug, void (Script::*script)()) {
        base::planted_bug = bug;
        (this->*script)();
        if (simulation_->verdict().ok()) simulation_->come_to_rest();
        std::vector<Violation> found = simulation_->result().violations;
        simulation_.reset();
        base::planted_bug = base::PlantedBug::none;
        return found;
    }

    // Acknowledgements.
    void a_put_is_acknowledged_by_three_nodes();
    void a_stand_in_with_a_slow_disk_keeps_a_hint();
    void a_stand_in_keeps_two_hints_for_a_key();
    void the_coordinator_is_alone();
    void a_holder_is_asked_twice_while_another_is_away();
    void a_sync_fails();
    void the_power_fails_after_many_flushes();

    // Reads.
    void all_seats_are_asked();
    void a_node_with_a_hint_reads_alone();
    void a_read_repairs_its_coordinator();
    void a_read_repairs_what_was_replaced();
    void many_keys_are_read_from_tables();
    void a_session_reads_where_its_write_is_missing();

    // Causality.
    void three_siblings_are_read();
    void two_siblings_are_read();
    void a_node_that_missed_a_delete_is_asked();
    void a_node_misses_a_delete_for_long();
    void a_node_writes_restarts_and_writes();
    void a_node_dies_before_it_has_written_to_all_shards();
    void a_value_is_read();
    void puts_are_tried_again_through_other_nodes();
    void a_request_arrives_again_after_it_was_replaced();
    void a_node_that_missed_a_put_gets_the_next();

    // Conflict policies.
    void writes_of_two_sides_meet_where_the_last_wins();
    void a_node_that_missed_a_write_gets_a_stale_one();
    void a_clock_is_ahead_of_all_others();

    // Expiry.
    void one_of_two_siblings_expires();
    void a_value_expires();

    // Replicas.
    void a_node_crashes_while_it_stores_large_values();
    void a_node_misses_a_write_and_takes_the_next();
    void a_hint_is_delivered_to_a_holder_that_dies();
    void a_stand_in_meets_the_holder_again();
    void a_node_misses_more_than_hints_have_room_for();
    void deleted_keys_are_compacted();
    void a_value_is_deleted();
    void a_node_stops_in_order_and_dies_in_its_next_life();
    void a_node_is_cut_off_from_a_put_and_read();
    void a_coordinator_dies_before_all_have_its_put();
    void a_log_is_damaged_before_its_end();
    void a_table_rots();
    void a_disk_is_set_back();
    void a_disk_is_set_back_to_before_its_node_held_a_seat();
    void a_giver_lets_go_while_a_disk_is_refilled_from_it();
    void a_disk_is_set_back_and_nobody_remembers_it();
    void a_disk_is_set_back_to_before_a_put();
    void a_disk_is_set_back_to_before_a_delete();
    void a_read_repairs_who_has_collected_a_delete();
    void a_table_rots_and_nobody_looks();
    void a_table_rots_and_is_compacted();
    void a_power_cut_tears_a_log();

    // Members and seats.
    void a_cluster_grows_and_its_founder_is_cut_off();
    void a_giver_is_cut_off_after_its_seat_has_moved();
    void a_cluster_grows();
    void a_cluster_with_many_partitions_rests();
    void a_node_is_cut_off_and_comes_back();
    void two_nodes_work_without_the_third();
    void a_node_catches_up_without_the_third();

  private:
    // As a frame would that the network repeats, through another node.
    void ask_again(WriteId id, const std::string& value);
    static RunOptions tiny_memtables(uint32_t nodes);
    // Replicas learn what they miss from reads only, for a while.
    static RunOptions slow_repair(uint32_t nodes);
    // The keys of `last` and of `strict` are the third and the fifth.
    static RunOptions with_policies(RunOptions options);
    // Nobody looks at disks, so that what clients see comes first.
    static RunOptions unaudited(RunOptions options);
    // Forms the cluster and lets all seats find their places.
    void settle(const RunOptions& options) {
        form(options);
        run_for(std::chrono::seconds(10));
    }
    // Ends the script's own cuts and goes on with these.
    void only_isolated(uint32_t number) {
        heal();
        isolate(number);
    }
    // The first key that falls into the last bucket of its group's hash tree.
    void use_key_of_last_bucket();
    void power_cut();
    // Large values that do not compress, so that most of each disk is values.
    void put_on_all(size_t keys, env::SimRandom& random);
};

}  // namespace starling::sim
