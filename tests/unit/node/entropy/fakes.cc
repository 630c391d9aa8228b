#include "tests/unit/node/entropy/fakes.h"

#include <memory>

#include "base/hash.h"

namespace starling::node {

env::TimerId FakeLoop::schedule_after(base::Duration delay, env::Task task) {
    const env::TimerId timer = ++last_timer_;
    const base::MonotonicTime due = now_ + std::max(delay, base::Duration::zero());
    dues_[timer] = due;
    tasks_.emplace(std::make_pair(due, timer), std::move(task));
    return timer;
}

bool FakeLoop::cancel(env::TimerId timer) {
    const auto due = dues_.find(timer);
    if (due == dues_.end()) return false;
    tasks_.erase({due->second, timer});
    dues_.erase(due);
    return true;
}

bool FakeLoop::run_one(base::MonotonicTime until) {
    if (tasks_.empty() || tasks_.begin()->first.first > until) return false;
    auto entry = tasks_.extract(tasks_.begin());
    now_ = entry.key().first;
    dues_.erase(entry.key().second);
    entry.mapped()();
    return true;
}

void FakeLoop::run_for(base::Duration span) {
    const base::MonotonicTime until = now_ + span;
    while (run_one(until)) {
    }
    now_ = until;
}

bool FakeLoop::run_until(const std::function<bool()>& is_done, base::Duration limit) {
    const base::MonotonicTime until = now_ + limit;
    while (!is_done()) {
        if (!run_one(until)) return false;
    }
    return true;
}

// SplitMix64.
uint64_t FakeRandom::next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void FakeNetwork::send(base::NodeId from, base::NodeId to, std::string bytes) {
    ++messages_sent;
    bytes_sent += bytes.size();
    const int copies = random_.chance(loss) ? 0 : (random_.chance(duplication) ? 2 : 1);
    for (int i = 0; i < copies; ++i) {
        auto delay =
            static_cast<int64_t>(random_.below(static_cast<uint64_t>(delay_max.count()) + 1));
        if (bytes_per_second > 0) {
            delay += static_cast<int64_t>(bytes.size()) *
                     base::Duration(std::chrono::seconds(1)).count() / bytes_per_second;
        }
        loop_.schedule_after(base::Duration(delay), [this, from, to, bytes] {
            const auto handler = handlers_.find(to);
            if (handler != handlers_.end()) {
                handler->second(from, bytes);
            }
        });
    }
}

Dot FakeGroups::write(GroupId group,
                      const std::string& key,
                      const Actor& actor,
                      const std::string& value,
                      bool is_blind) {
    Group& here = groups[group];
    const Record local = here.records[key];
    const Dot dot{.actor = actor, .sequence = ++minted_[{group, actor}]};
    NewWrite write{
        .dot = dot,
        .request = {.created_ms = 1, .random_high = random_.next(), .random_low = random_.next()},
        .time = {.wall_ms = 1},
        .expires_ms = 0,
        .is_tombstone = value.empty(),
        .value = value};
    here.records[key] =
        mint(local, is_blind ? Superseded{} : Superseded::by_reading(local), std::move(write));
    here.frontier.add(dot);
    here.index[dot] = key;
    return dot;
}

void FakeGroups::apply(GroupId group, const std::string& key, const Record& record) {
    Group& here = groups[group];
    for (const Sibling& sibling : record.siblings)
        here.index[sibling.dot] = key;
    merge(here.records[key], record, here.frontier);
}

void FakeGroups::drop(base::PartitionId partition, uint8_t replicas_max) {
    std::erase_if(groups, [&](const auto& entry) {
        const bool goes =
            entry.first.partition == partition && entry.first.replicas <= replicas_max;
        drops[entry.first] += goes ? 1 : 0;
        return goes;
    });
}

void FakeGroups::later(env::Task task) {
    loop_.schedule_after(base::Duration(static_cast<int64_t>(random_.below(200'000))),
                         lifeline_.guard(std::move(task)));
}

std::vector<GroupId> FakeGroups::groups_of(base::PartitionId partition) {
    std::vector<GroupId> out;
    for (const auto& [group, content] : groups) {
        if (group.partition == partition) out.push_back(group);
    }
    return out;
}

absl::StatusOr<GroupSummary> FakeGroups::summary(GroupId group) {
    if (!has_tree) return absl::UnavailableError("the tree is being rebuilt");
    if (is_damaged) return absl::DataLossError("a block is damaged");
    GroupSummary summary;
    const auto found = groups.find(group);
    if (found == groups.end()) return summary;
    summary.frontier = found->second.frontier;
    for (const auto& [key, record] : found->second.records) {
        summary.buckets[bucket_of(key)] += leaf_digest(key, record);
    }
    return summary;
}

void FakeGroups::list_buckets(GroupId group,
                              const BucketSet& buckets,
                              std::string after,
                              size_t bytes_max,
                              Callback<ListingPage> done) {
    later([this,
           group,
           buckets,
           after = std::move(after),
           bytes_max,
           done = std::move(done)]() mutable {
        ListingPage page;
        size_t bytes = 0;
        size_t read = 0;
        const auto& records = groups[group].records;
        for (auto entry = records.upper_bound(after); entry != records.end(); ++entry) {
            if (bytes >= bytes_max || read >= records_read_max) {
                page.up_to = std::prev(entry)->first;
                break;
            }
            ++read;
            const uint64_t digest = leaf_digest(entry->first, entry->second);
            if (!buckets.test(bucket_of(entry->first)) || digest == 0) continue;
            bytes += entry->first.size() + sizeof(digest);
            page.keys.push_back({.key = entry->first, .digest = digest});
        }
        records_listed += read;
        done(std::move(page));
    });
}

void FakeGroups::fetch(GroupId group,
                       std::vector<std::string> keys,
                       Callback<std::vector<KeyRecord>> done) {
    later([this, group, keys = std::move(keys), done = std::move(done)]() mutable {
        std::vector<KeyRecord> records;
        for (const std::string& key : keys) {
            const auto found = groups[group].records.find(key);
            if (found != groups[group].records.end())
                records.push_back({.key = key, .record = found->second});
        }
        done(std::move(records));
    });
}

void FakeGroups::scan(GroupId group, KeyRange range, size_t bytes_max, Callback<ScanPage> done) {
    later([this, group, range = std::move(range), bytes_max, done = std::move(done)]() mutable {
        ScanPage page;
        const auto& records = groups[group].records;
        const auto end = range.end.empty() ? records.end() : records.lower_bound(range.end);
        for (auto entry = records.lower_bound(range.from); entry != end; ++entry) {
            if (page.bytes >= bytes_max) {
                page.next = entry->first;
                break;
            }
            std::string encoded;
            encode_record(encoded, entry->second);
            page.bytes += entry->first.size() + encoded.size();
            page.records.push_back({.key = entry->first, .record = entry->second});
        }
        done(std::move(page));
    });
}

uint64_t FakeGroups::change_count(GroupId group) const {
    // As good as a counter: nothing else changes a group.
    const auto found = groups.find(group);
    if (found == groups.end()) return 0;
    std::string bytes;
    found->second.frontier.encode(bytes);
    uint64_t tree = 0;
    for (const auto& [key, record] : found->second.records)
        tree += leaf_digest(key, record);
    return base::xxh3_64(bytes, tree);
}

void FakeGroups::missing(GroupId group,
                         const Frontier& seen,
                         KnownDots known,
                         std::optional<Dot> after,
                         size_t bytes_max,
                         RecordFingerprints sent,
                         Callback<MissingPage> done) {
    MissingPage page;
    page.sent = std::move(sent);
    page.frontier = groups[group].frontier;
    later([this,
           group,
           seen,
           known,
           after,
           bytes_max,
           page = std::move(page),
           done = std::move(done)]() mutable {
        const Group& here = groups[group];
        std::map<Dot, std::string> named(here.index.begin(), here.index.end());
        if (known == KnownDots::and_tombstones) {
            for (const auto& [key, record] : here.records) {
                for (const Sibling& sibling : record.siblings) {
                    if (sibling.is_tombstone) named.emplace(sibling.dot, key);
                }
            }
        }
        std::map<std::string, uint32_t> met;
        size_t bytes = 0;
        size_t indexed_bytes = 0;
        for (auto entry = after.has_value() ? named.upper_bound(*after) : named.begin();
             entry != named.end();
             ++entry) {
            const auto& [dot, key] = *entry;
            if (seen.contains(dot) || !page.frontier.contains(dot)) continue;
            if (bytes >= bytes_max || indexed_bytes >= indexed_bytes_max) {
                page.has_more = true;
                break;
            }
            std::string encoded;
            encode_record(encoded, here.records.at(key));
            bytes += sizeof(Dot);
            indexed_bytes += IndexedDots::stored_bytes(key);
            const auto [index, is_new] = met.try_emplace(key, met.size());
            page.dots.entries.push_back({.dot = dot, .key = index->second});
            if (!is_new) continue;
            bytes += key.size();
            page.dots.keys.push_back(key);
            const absl::uint128 fingerprint = fingerprint_of(key, encoded);
            if (page.sent.contains(fingerprint)) continue;
            bytes += encoded.size();
            page.fingerprints.push_back(fingerprint);
            page.records.push_back({.key = key, .record = here.records.at(key)});
        }
        done(std::move(page));
    });
}

void FakeGroups::merge_records(GroupId group,
                               std::vector<KeyRecord> records,
                               IndexedDots dots,
                               Done done) {
    later([this,
           group,
           records = std::move(records),
           dots = std::move(dots),
           done = std::move(done)]() mutable {
        for (const IndexedDots::Entry& indexed : dots.entries)
            groups[group].index[indexed.dot] = dots.keys[indexed.key];
        for (const KeyRecord& record : records) {
            apply(group, record.key, record.record);
        }
        for (const IndexedDots::Entry& indexed : dots.entries)
            groups[group].frontier.add(indexed.dot);
        done(absl::OkStatus());
    });
}

void FakeGroups::copy_records(GroupId group,
                              std::vector<KeyRecord> records,
                              std::string up_to,
                              Done done) {
    later([this,
           group,
           records = std::move(records),
           up_to = std::move(up_to),
           done = std::move(done)]() mutable {
        Group& here = groups[group];
        here.copied_up_to = std::move(up_to);
        for (const KeyRecord& record : records) {
            Frontier unclaimed = here.frontier;
            merge(here.records[record.key], record.record, unclaimed);
        }
        done(absl::OkStatus());
    });
}

void FakeGroups::take_over(GroupId group,
                           std::vector<std::string> keys,
                           std::vector<KeyRecord> records,
                           const Frontier& seen,
                           Done done) {
    later([this,
           group,
           keys = std::move(keys),
           records = std::move(records),
           seen,
           done = std::move(done)]() mutable {
        std::map<std::string, Record> theirs;
        for (KeyRecord& record : records)
            theirs[record.key] = std::move(record.record);
        for (const std::string& key : keys) {
            const Record& incoming = theirs[key];
            apply(group, key, incoming);
            std::erase_if(groups[group].records[key].siblings, [&](const Sibling& sibling) {
                return seen.contains(sibling.dot) && incoming.find(sibling.request) == nullptr;
            });
        }
        done(absl::OkStatus());
    });
}

void FakeGroups::unite_frontier(GroupId group, Frontier frontier, Done done) {
    later([this, group, frontier = std::move(frontier), done = std::move(done)]() mutable {
        if (before_unite) std::exchange(before_unite, nullptr)();
        groups[group].frontier.unite(frontier);
        done(absl::OkStatus());
    });
}

}  // namespace starling::node
