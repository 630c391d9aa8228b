#include "client/cli/verifier.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

constexpr size_t keys_per_question = 64;
// What a node takes in one message is more, whatever its limits on keys and values are.
constexpr size_t question_bytes_max = size_t{192} << 10;
// Of one key; a node takes no more.
constexpr int seen_max = 4096;
// A seat that moves while it is looked at is asked for again.
constexpr int ring_questions_max = 3;
constexpr size_t unchecked_max = 1000;
constexpr size_t namespace_bytes = 8;
constexpr int bucket_count = 256;
constexpr size_t bucket_set_bytes = bucket_count / 8;

v1::InspectReplicaRequest question_of(std::pair<uint32_t, uint32_t> group) {
    v1::InspectReplicaRequest question;
    question.set_partition(group.first);
    question.set_replicas(group.second);
    return question;
}

void add_bucket(v1::InspectReplicaRequest& question, int bucket) {
    std::string& buckets = *question.mutable_buckets();
    buckets.resize(bucket_set_bytes);
    char& byte = buckets[static_cast<size_t>(bucket) / 8];
    byte = static_cast<char>(byte | 1 << bucket % 8);
}

bool has_moved(const absl::Status& status) {
    return base::reason_of(status) == base::reason::no_owner;
}

using States = std::map<uint64_t, v1::InspectedKey>;

bool are_equal(const States& states) {
    return std::all_of(states.begin(), states.end(), [&](const auto& state) {
        return state.second.digest() == states.begin()->second.digest();
    });
}

bool same_as_before(const States& before, const States& now) {
    return std::all_of(now.begin(), now.end(), [&](const auto& state) {
        const auto known = before.find(state.first);
        return known != before.end() && known->second.digest() == state.second.digest();
    });
}

// What all of them together had seen of the key.
void fill_seen(const States& states, google::protobuf::RepeatedPtrField<v1::Dot>& seen) {
    std::map<std::tuple<uint64_t, uint32_t, uint64_t>, uint64_t> highest;
    for (const auto& [node, state] : states) {
        for (const v1::Dot& dot : state.context()) {
            uint64_t& sequence = highest[{dot.node_id(), dot.start(), dot.random()}];
            sequence = std::max<uint64_t>(sequence, dot.sequence());
        }
    }
    for (const auto& [actor, sequence] : highest) {
        v1::Dot& dot = *seen.Add();
        dot.set_node_id(std::get<0>(actor));
        dot.set_start(std::get<1>(actor));
        dot.set_random(std::get<2>(actor));
        dot.set_sequence(sequence);
    }
}

uint64_t namespace_id_of(const std::string& group_key) {
    uint64_t id = 0;
    for (size_t i = 0; i < namespace_bytes; ++i) {
        id = id << 8 | static_cast<uint8_t>(group_key[i]);
    }
    return id;
}

}  // namespace

absl::StatusOr<VerifyReport> Verifier::run() {
    report_.as_of = wall_clock_.wall_now();
    STARLING_ASSIGN_OR_RETURN(ring_, source_.ring());
    compare_all();
    look_again_at_all();
    return std::move(report_);
}

void Verifier::compare_all() {
    std::set<uint32_t> sizes;
    for (const v1::Namespace& space : options_.namespaces) {
        sizes.insert(space.replicas());
    }
    for (int partition = 0; partition < ring_.partitions_size(); ++partition) {
        for (const uint32_t replicas : sizes) {
            if (has_enough()) {
                note_unchecked(
                    fmt::format("partition {} and those after it: {} keys of those before differ "
                                "at first sight",
                                ring_.partitions(partition).partition(),
                                suspect_count_));
                return;
            }
            ++report_.groups;
            compare({ring_.partitions(partition).partition(), replicas});
        }
    }
}

void Verifier::compare(Group group) {
    for (int round = 0; round < ring_questions_max; ++round) {
        if (round > 0) {
            source_.pause(options_.settle);
            auto ring = source_.ring();
            if (ring.ok()) {
                ring_ = *std::move(ring);
            }
        }
        if (try_compare(group)) {
            return;
        }
    }
    note_unchecked(fmt::format("partition {}: its seats move", group.first));
}

std::vector<uint64_t> Verifier::holders_of(Group group) const {
    std::vector<uint64_t> holders;
    for (const v1::RingPartition& partition : ring_.partitions()) {
        if (partition.partition() != group.first) {
            continue;
        }
        const int seats = std::min<int>(static_cast<int>(group.second), partition.holders_size());
        holders.assign(partition.holders().begin(), partition.holders().begin() + seats);
    }
    return holders;
}

bool Verifier::try_compare(Group group) {
    std::vector<uint64_t> holders = holders_of(group);
    const auto unknown = std::count(holders.begin(), holders.end(), uint64_t{0});
    std::erase(holders, uint64_t{0});
    std::sort(holders.begin(), holders.end());
    holders.erase(std::unique(holders.begin(), holders.end()), holders.end());

    std::map<uint64_t, v1::InspectReplicaResponse> answers;
    for (const uint64_t node : holders) {
        auto answer = ask(node, question_of(group));
        if (answer.ok()) {
            answers.emplace(node, *std::move(answer));
        } else if (has_moved(answer.status())) {
            return false;
        } else {
            note_unanswered(group, node, answer.status());
        }
    }
    if (unknown > 0) {
        note_unchecked(fmt::format(
            "partition {}: nobody is known to hold {} of its seats", group.first, unknown));
    }
    const auto copies = static_cast<uint32_t>(holders.size());
    if (copies < group.second) {
        report_.copies_min =
            report_.groups_short == 0 ? copies : std::min(report_.copies_min, copies);
        ++report_.groups_short;
    }
    std::vector<uint64_t> answered;
    Frontiers frontiers;
    bool are_equal = true;
    int buckets = 0;
    for (const auto& [node, answer] : answers) {
        answered.push_back(node);
        frontiers.emplace(node, answer.frontier());
        are_equal = are_equal && answer.frontier() == answers.begin()->second.frontier();
        buckets = std::min(std::max(buckets, answer.buckets_size()), bucket_count);
    }
    if (!are_equal) {
        frontiers_.emplace(group, std::move(frontiers));
    }
    v1::InspectReplicaRequest question = question_of(group);
    for (int bucket = 0; bucket < buckets; ++bucket) {
        const auto digest_at = [&](const v1::InspectReplicaResponse& answer) {
            return bucket < answer.buckets_size() ? answer.buckets(bucket) : 0;
        };
        const uint64_t first = digest_at(answers.begin()->second);
        const bool is_different =
            std::any_of(answers.begin(), answers.end(), [&](const auto& answer) {
                return digest_at(answer.second) != first;
            });
        if (is_different || options_.reads_all) {
            add_bucket(question, bucket);
        }
    }
    if (!question.buckets().empty()) {
        compare_keys(group, answered, std::move(question));
    }
    return true;
}

void Verifier::compare_keys(Group group,
                            const std::vector<uint64_t>& holders,
                            v1::InspectReplicaRequest question) {
    ReplicaListings listings(holders);
    while (!listings.is_done()) {
        if (has_enough()) {
            note_unchecked(
                fmt::format("partition {}: not all of its keys: {} of those before "
                            "differ at first sight",
                            group.first,
                            suspect_count_));
            return;
        }
        list_further(group, question, listings);
        if (listings.is_done()) {
            return;
        }
        for (std::string& key : listings.take_differing()) {
            if (namespace_of(key) != nullptr) {
                ++suspect_count_;
                suspects_[group].push_back({.key = std::move(key)});
            }
        }
    }
}

void Verifier::list_further(Group group,
                            v1::InspectReplicaRequest& question,
                            ReplicaListings& listings) {
    for (const auto& [node, after] : listings.wanted()) {
        question.set_after(after);
        auto page = ask(node, question);
        const absl::Status status =
            page.ok() ? listings.add(node, *std::move(page)) : page.status();
        if (!status.ok()) {
            note_unanswered(group, node, status);
            listings.drop(node);
        }
    }
}

void Verifier::look_again_at_all() {
    report_.keys_looked_at = suspect_count_;
    for (uint32_t number = 1; !suspects_.empty() || !frontiers_.empty(); ++number) {
        if (number > options_.looks_max) {
            for (const auto& [group, suspects] : suspects_) {
                note_unchecked(
                    fmt::format("partition {}: {} keys were different at each look, and each time "
                                "in another way: they are being written",
                                group.first,
                                suspects.size()));
            }
            return;
        }
        if (number > 1) {
            source_.pause(options_.settle);
            for (const auto& [group, before] : frontiers_) {
                compare_frontiers(group, before);
            }
            frontiers_.clear();
        }
        for (auto it = suspects_.begin(); it != suspects_.end();) {
            look(it->first, it->second);
            it = it->second.empty() ? suspects_.erase(it) : std::next(it);
        }
    }
}

void Verifier::compare_frontiers(Group group, const Frontiers& before) {
    v1::InspectReplicaRequest question = question_of(group);
    for (const auto& [node, frontier] : before) {
        question.add_frontiers(frontier);
    }
    // By node, whose frontiers it has.
    std::map<uint64_t, std::set<uint64_t>> has_seen;
    for (const auto& [node, frontier] : before) {
        auto answer = ask(node, question);
        if (answer.ok() && answer->has_seen_size() != question.frontiers_size()) {
            answer = absl::InternalError("it answers for other frontiers than were asked for");
        }
        if (!answer.ok()) {
            note_unanswered(group, node, answer.status());
            continue;
        }
        std::set<uint64_t>& seen = has_seen[node];
        int at = 0;
        for (const auto& [other, of_other] : before) {
            if (answer->has_seen(at++)) {
                seen.insert(other);
            }
        }
    }
    for (const auto& [node, seen] : has_seen) {
        if (!seen.contains(node)) {
            note_unchecked(fmt::format("partition {}: node {} no longer has all that it had before",
                                       group.first,
                                       node_id_text(node)));
        }
        BehindReplica behind{
            .partition = group.first, .replicas = group.second, .node = node, .others = {}};
        for (const auto& [other, seen_by_other] : has_seen) {
            // What another one has lost since need not be anywhere.
            if (seen_by_other.contains(other) && other != node && !seen.contains(other)) {
                behind.others.push_back(other);
            }
        }
        if (!behind.others.empty()) {
            report_.behind.push_back(std::move(behind));
        }
    }
}

void Verifier::look(Group group, std::vector<Suspect>& suspects) {
    std::vector<uint64_t> holders = holders_of(group);
    std::erase(holders, uint64_t{0});
    std::sort(holders.begin(), holders.end());
    holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
    std::vector<Suspect> left;
    std::vector<Suspect> some;
    v1::InspectReplicaRequest question = question_of(group);
    size_t bytes = 0;
    const auto look_at_them = [&] {
        look_at_some(group, holders, question, some, left);
        question.clear_keys();
        some.clear();
        bytes = 0;
    };
    for (Suspect& suspect : suspects) {
        v1::InspectedKeyQuestion key;
        key.set_key(suspect.key);
        fill_seen(suspect.seen, *key.mutable_seen());
        if (key.seen_size() > seen_max) {
            note_unchecked(
                fmt::format("partition {}: key {}: its copies know of writes of {} "
                            "lives of nodes, and {} at most can be asked for",
                            group.first,
                            printable(suspect.key.substr(namespace_bytes)),
                            key.seen_size(),
                            seen_max));
            continue;
        }
        const size_t key_bytes = key.ByteSizeLong();
        if (some.size() == keys_per_question ||
            (!some.empty() && bytes + key_bytes > question_bytes_max)) {
            look_at_them();
        }
        bytes += key_bytes;
        *question.add_keys() = std::move(key);
        some.push_back(std::move(suspect));
    }
    if (!some.empty()) {
        look_at_them();
    }
    suspects = std::move(left);
}

void Verifier::look_at_some(Group group,
                            const std::vector<uint64_t>& holders,
                            const v1::InspectReplicaRequest& question,
                            std::vector<Suspect>& some,
                            std::vector<Suspect>& left) {
    std::vector<States> now(some.size());
    for (const uint64_t node : holders) {
        auto states = states_at(node, question);
        if (!states.ok()) {
            note_unanswered(group, node, states.status());
            continue;
        }
        for (size_t i = 0; i < some.size(); ++i) {
            now[i].emplace(node, std::move((*states)[i]));
        }
    }
    for (size_t i = 0; i < some.size(); ++i) {
        judge(group, std::move(some[i]), std::move(now[i]), left);
    }
}

// Of the keys in the question, in their order. A node may answer for the first ones only.
absl::StatusOr<std::vector<v1::InspectedKey>> Verifier::states_at(
    uint64_t node, v1::InspectReplicaRequest question) {
    std::vector<v1::InspectedKey> states;
    while (question.keys_size() > 0) {
        STARLING_ASSIGN_OR_RETURN(v1::InspectReplicaResponse answer, ask(node, question));
        if (answer.keys().empty() || answer.keys_size() > question.keys_size()) {
            return absl::InternalError(fmt::format(
                "node {} answers for other keys than were asked for", node_id_text(node)));
        }
        for (v1::InspectedKey& key : *answer.mutable_keys()) {
            states.push_back(std::move(key));
        }
        question.mutable_keys()->DeleteSubrange(0, answer.keys_size());
    }
    return states;
}

void Verifier::judge(Group group, Suspect suspect, States now, std::vector<Suspect>& left) {
    if (now.size() < 2 || are_equal(now)) {
        return;
    }
    const bool is_first = suspect.seen.empty();
    const bool lags = std::any_of(
        now.begin(), now.end(), [](const auto& state) { return !state.second.reflects_seen(); });
    if (!is_first && (lags || same_as_before(suspect.seen, now))) {
        report_difference(group, suspect.key, now);
        return;
    }
    suspect.seen = std::move(now);
    left.push_back(std::move(suspect));
}

void Verifier::report_difference(Group group, const std::string& key, const States& copies) {
    ++report_.difference_count;
    if (report_.differences.size() >= options_.differences_max) {
        return;
    }
    const v1::Namespace* const space = namespace_of(key);
    Difference& difference = report_.differences.emplace_back();
    difference.name_space = space == nullptr ? "" : space->name();
    difference.key = key.substr(namespace_bytes);
    difference.partition = group.first;
    for (const auto& [node, state] : copies) {
        difference.copies.push_back({.node = node, .state = state});
    }
}

absl::StatusOr<v1::InspectReplicaResponse> Verifier::ask(uint64_t node,
                                                         const v1::InspectReplicaRequest& request) {
    if (silent_.contains(node)) {
        return absl::UnavailableError("it was silent before");
    }
    auto answer = source_.inspect(node, request);
    const absl::Status& status = answer.status();
    const bool is_silent = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    if (is_silent && !has_moved(status)) {
        silent_.insert(node);
        note_unchecked(fmt::format(
            "node {} cannot be checked: {}", node_id_text(node), std::string(status.message())));
    }
    return answer;
}

// A silent node has its one line already.
void Verifier::note_unanswered(Group group, uint64_t node, const absl::Status& status) {
    if (!silent_.contains(node)) {
        note_unchecked(fmt::format("partition {}: node {}: {}",
                                   group.first,
                                   node_id_text(node),
                                   std::string(status.message())));
    }
}

const v1::Namespace* Verifier::namespace_of(const std::string& group_key) const {
    if (group_key.size() < namespace_bytes) {
        return nullptr;
    }
    const uint64_t id = namespace_id_of(group_key);
    const auto found = std::find_if(options_.namespaces.begin(),
                                    options_.namespaces.end(),
                                    [&](const v1::Namespace& space) { return space.id() == id; });
    return found == options_.namespaces.end() ? nullptr : &*found;
}

void Verifier::note_unchecked(const std::string& line) {
    if (!unchecked_.insert(std::hash<std::string>()(line)).second) {
        return;
    }
    ++report_.unchecked_count;
    if (report_.unchecked.size() < unchecked_max) {
        report_.unchecked.push_back(line);
    }
}

}  // namespace starling::client
