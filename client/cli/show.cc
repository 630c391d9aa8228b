#include "client/cli/show.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include <fmt/format.h>

#include "base/crc32c.h"

namespace starling::client {

namespace {

using nlohmann::ordered_json;

const char* state_text(v1::ReplicaState state) {
    switch (state) {
        case v1::REPLICA_STATE_DURABLE:
            return "durable";
        case v1::REPLICA_STATE_HINTED:
            return "hinted";
        case v1::REPLICA_STATE_ANSWERED:
            return "answered";
        case v1::REPLICA_STATE_STALE:
            return "stale";
        case v1::REPLICA_STATE_REFUSED:
            return "refused";
        case v1::REPLICA_STATE_LATE:
            return "late";
        default:
            return "unknown";
    }
}

const char* policy_text(v1::ConflictPolicy policy) {
    switch (policy) {
        case v1::CONFLICT_POLICY_LAST_WRITE_WINS:
            return "last_write_wins";
        case v1::CONFLICT_POLICY_REJECT_STALE:
            return "reject_stale";
        default:
            return "siblings";
    }
}

const char* durability_text(v1::Durability durability) {
    switch (durability) {
        case v1::DURABILITY_INTERVAL:
            return "interval";
        case v1::DURABILITY_MEMORY:
            return "memory";
        default:
            return "sync";
    }
}

bool is_utf8(const std::string& bytes) {
    try {
        static_cast<void>(nlohmann::json(bytes).dump());
        return true;
    } catch (const nlohmann::json::type_error&) {
        return false;
    }
}

std::string ms(uint64_t us) {
    return fmt::format("{:.1f} ms", static_cast<double>(us) / 1000);
}

std::string show_replica(const v1::ReplicaOutcome& replica, const NodeNames& names) {
    const bool is_late = replica.state() == v1::REPLICA_STATE_LATE;
    return fmt::format(
        "    seat {}  {}  {:<8}  {}{}\n",
        replica.seats().empty() ? "-" : fmt::format("{}", fmt::join(replica.seats(), ",")),
        name_of(replica.node_id(), names),
        state_text(replica.state()),
        is_late ? "-" : ms(replica.elapsed_us()),
        replica.detail().empty() ? "" : fmt::format("  {}", replica.detail()));
}

}  // namespace

std::string to_hex(std::string_view bytes) {
    return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

bool from_hex(std::string_view hex, std::string& bytes) {
    if (hex.size() % 2 != 0 ||
        hex.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
        return false;
    }
    bytes = absl::HexStringToBytes(absl::string_view(hex.data(), hex.size()));
    return true;
}

std::string node_id_text(uint64_t id) {
    return fmt::format("{:016x}", id);
}

std::string name_of(uint64_t node, const NodeNames& names) {
    const auto found = names.find(node);
    return found == names.end() ? node_id_text(node)
                                : fmt::format("{} ({})", node_id_text(node), found->second);
}

std::string time_text(uint64_t unix_ms) {
    return absl::FormatTime("%Y-%m-%d %H:%M:%E3S UTC",
                            absl::FromUnixMillis(static_cast<int64_t>(
                                std::min<uint64_t>(unix_ms, std::numeric_limits<int64_t>::max()))),
                            absl::UTCTimeZone());
}

std::string span_text(uint64_t ms) {
    constexpr uint64_t second_ms = 1000;
    constexpr std::pair<uint64_t, char> units[] = {
        {86'400 * second_ms, 'd'}, {3'600 * second_ms, 'h'}, {60 * second_ms, 'm'}};
    for (const auto& [unit_ms, name] : units) {
        if (ms >= 2 * unit_ms) return fmt::format("{}{}", ms / unit_ms, name);
    }
    return fmt::format("{}s", ms / second_ms);
}

std::string printable(std::string_view bytes) {
    const bool is_text = is_utf8(std::string(bytes));
    std::string out;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_shown = byte >= 0x20 && byte != 0x7f && c != '\\' && (is_text || byte < 0x80);
        out += is_shown ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
    }
    return out;
}

std::string dot_name(const v1::Dot& dot) {
    return fmt::format("{}.{}.{}:{}",
                       node_id_text(dot.node_id()),
                       dot.start(),
                       node_id_text(dot.random()),
                       dot.sequence());
}

bool is_dot_name(std::string_view text) {
    uint64_t node = 0;
    uint32_t start = 0;
    uint64_t random = 0;
    uint64_t sequence = 0;
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto take = [&](auto& number, int base, char after) {
        const auto [next, error] = std::from_chars(at, end, number, base);
        const bool is_end = after == '\0';
        if (error != std::errc() || is_end != (next == end) || (!is_end && *next != after)) {
            return false;
        }
        at = is_end ? next : next + 1;
        return true;
    };
    return take(node, 16, '.') && take(start, 10, '.') && take(random, 16, ':') &&
           take(sequence, 10, '\0');
}

std::string show_dot(const v1::Dot& dot, const v1::HybridTime& time, const NodeNames& names) {
    return fmt::format("{} start {} write {} at {}.{}",
                       name_of(dot.node_id(), names),
                       dot.start(),
                       dot.sequence(),
                       time.wall_ms(),
                       time.logical());
}

std::string show_receipt(const v1::Receipt& receipt, const NodeNames& names) {
    std::string text = fmt::format("  coordinator  {}\n", name_of(receipt.coordinator(), names));
    if (receipt.has_forwarded_by()) {
        text += fmt::format("  asked        {}\n", name_of(receipt.forwarded_by(), names));
    }
    text += fmt::format("  partition    {}\n", receipt.partition());
    text += fmt::format("  quorum       {} of {} copies asked for, {} answered, on {} nodes{}\n",
                        receipt.quorum(),
                        receipt.replicas_total(),
                        receipt.seats_answered(),
                        receipt.nodes_answered(),
                        receipt.seats_hinted() == 0
                            ? ""
                            : fmt::format(", {} of them by stand-ins", receipt.seats_hinted()));
    if (receipt.repairs_sent() > 0) {
        text += fmt::format("  repairs      {} stale replicas sent the result\n",
                            receipt.repairs_sent());
    }
    text += fmt::format("  took         {}\n", ms(receipt.elapsed_us()));
    if (!receipt.replicas().empty()) {
        text += "  replicas\n";
        for (const v1::ReplicaOutcome& replica : receipt.replicas()) {
            text += show_replica(replica, names);
        }
    }
    return text;
}

ordered_json to_json(const v1::Receipt& receipt) {
    ordered_json json = {{"coordinator", node_id_text(receipt.coordinator())},
                         {"partition", receipt.partition()},
                         {"replicas_total", receipt.replicas_total()},
                         {"quorum", receipt.quorum()},
                         {"seats_answered", receipt.seats_answered()},
                         {"nodes_answered", receipt.nodes_answered()},
                         {"seats_hinted", receipt.seats_hinted()},
                         {"repairs_sent", receipt.repairs_sent()},
                         {"elapsed_us", receipt.elapsed_us()}};
    if (receipt.has_forwarded_by()) {
        json["forwarded_by"] = node_id_text(receipt.forwarded_by());
    }
    for (const v1::ReplicaOutcome& replica : receipt.replicas()) {
        json["replicas"].push_back(
            {{"node_id", node_id_text(replica.node_id())},
             {"seats", std::vector<uint32_t>(replica.seats().begin(), replica.seats().end())},
             {"state", state_text(replica.state())},
             {"detail", replica.detail()},
             {"elapsed_us", replica.elapsed_us()}});
    }
    return json;
}

ordered_json to_json(const v1::Dot& dot) {
    return {{"node_id", node_id_text(dot.node_id())},
            {"start", dot.start()},
            {"random", node_id_text(dot.random())},
            {"sequence", dot.sequence()}};
}

ordered_json bytes_json(const char* name, const std::string& bytes) {
    const bool is_text = is_utf8(bytes);
    return {{name, is_text ? bytes : absl::Base64Escape(bytes)},
            {"encoding", is_text ? "utf8" : "base64"}};
}

ordered_json to_json(const v1::Value& value) {
    ordered_json json = bytes_json("value", value.value());
    json["crc32c"] = base::crc32c(value.value());
    json["dot"] = to_json(value.dot());
    json["wall_ms"] = value.time().wall_ms();
    json["logical"] = value.time().logical();
    if (value.expires_ms() != 0) {
        json["expires_ms"] = value.expires_ms();
    }
    return json;
}

ordered_json to_json(const v1::TombstonesWaiting& waiting) {
    return {{"node_id", node_id_text(waiting.node_id())},
            {"client_address", waiting.client_address()},
            {"tombstones", waiting.tombstones()},
            {"waiting_ms", waiting.waiting_ms()}};
}

ordered_json to_json(const v1::StatusResponse& status) {
    ordered_json members = ordered_json::array();
    for (const v1::Member& member : status.members()) {
        members.push_back({{"node_id", node_id_text(member.node_id())},
                           {"client_address", member.client_address()},
                           {"peer_address", member.peer_address()},
                           {"zone", member.zone()},
                           {"weight", member.weight()},
                           {"state", member.state()},
                           {"liveness", member.liveness()},
                           {"seats_held", member.seats_held()},
                           {"generation", member.generation()}});
    }
    ordered_json memory = ordered_json::array();
    for (const v1::MemoryShare& share : status.memory()) {
        memory.push_back({{"what", share.what()},
                          {"bytes_used", share.bytes_used()},
                          {"bytes_max", share.bytes_max()}});
    }
    ordered_json waiting = ordered_json::array();
    for (const v1::TombstonesWaiting& one : status.tombstones_waiting()) {
        waiting.push_back(to_json(one));
    }
    return {
        {"node_id", node_id_text(status.node_id())},
        {"cluster_id", node_id_text(status.cluster_id())},
        {"cluster_name", status.cluster_name()},
        {"version", status.version()},
        {"warnings", std::vector<std::string>(status.warnings().begin(), status.warnings().end())},
        {"members", std::move(members)},
        {"partition_count", status.partition_count()},
        {"seat_count", status.seat_count()},
        {"partitions_short_of_copies", status.partitions_short_of_copies()},
        {"copies_min", status.copies_min()},
        {"hints", status.hints()},
        {"hint_bytes", status.hint_bytes()},
        {"seats_filling", status.seats_filling()},
        {"seats_fenced", status.seats_fenced()},
        {"groups_dirty", status.groups_dirty()},
        {"records", status.records()},
        {"tombstones_waiting", std::move(waiting)},
        {"read_only", status.read_only()},
        {"read_only_reason", status.read_only_reason()},
        {"damage", status.damage()},
        {"memory", std::move(memory)}};
}

ordered_json to_json(const v1::Namespace& space) {
    return {{"id", node_id_text(space.id())},
            {"name", space.name()},
            {"replicas", space.replicas()},
            {"read_quorum", space.read_quorum()},
            {"write_quorum", space.write_quorum()},
            {"policy", policy_text(space.policy())},
            {"durability", durability_text(space.durability())},
            {"sloppy", !space.has_sloppy() || space.sloppy()},
            {"siblings_max", space.siblings_max()}};
}

std::string dump(const ordered_json& json) {
    return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace starling::client
