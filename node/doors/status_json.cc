#include "node/doors/status_json.h"

#include <nlohmann/json.hpp>

namespace starling::node {

namespace {

using nlohmann::ordered_json;

ordered_json to_json(const MemberStatus& member) {
    return {{"node_id", to_string(member.node)},
            {"client_address", member.client_address},
            {"peer_address", member.peer_address},
            {"zone", member.zone},
            {"weight", member.weight},
            {"state", member.state},
            {"liveness", member.liveness},
            {"seats_held", member.seats_held},
            {"generation", member.generation}};
}

}  // namespace

std::string to_status_json(const StatusReport& report) {
    ordered_json members = ordered_json::array();
    for (const MemberStatus& member : report.members) {
        members.push_back(to_json(member));
    }
    ordered_json memory = ordered_json::array();
    for (const MemoryShare& share : report.memory) {
        memory.push_back({{"what", share.what},
                          {"bytes_used", share.bytes_used},
                          {"bytes_max", share.bytes_max}});
    }
    ordered_json waiting = ordered_json::array();
    for (const TombstonesWaiting& one : report.tombstones_waiting) {
        waiting.push_back({{"node_id", to_string(one.node)},
                           {"client_address", one.client_address},
                           {"tombstones", one.tombstones},
                           {"waiting_ms", one.waiting_ms}});
    }
    const ordered_json page = {{"node_id", to_string(report.node)},
                               {"cluster_id", to_string(report.cluster)},
                               {"cluster_name", report.cluster_name},
                               {"version", report.version},
                               {"warnings", report.warnings},
                               {"members", std::move(members)},
                               {"partition_count", report.partition_count},
                               {"seat_count", report.seat_count},
                               {"partitions_short_of_copies", report.partitions_short_of_copies},
                               {"copies_min", report.copies_min},
                               {"hints", report.hints},
                               {"hint_bytes", report.hint_bytes},
                               {"seats_filling", report.seats_filling},
                               {"seats_fenced", report.seats_fenced},
                               {"groups_dirty", report.groups_dirty},
                               {"records", report.records},
                               {"tombstones_waiting", std::move(waiting)},
                               {"read_only", report.read_only},
                               {"read_only_reason", report.read_only_reason},
                               {"damage", report.damage},
                               {"memory", std::move(memory)}};
    // What is not UTF-8 in a name must not make the page fail.
    return page.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace starling::node
