#include "node/version/record.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/planted.h"

namespace starling::node {

namespace {

using RequestIds = std::vector<base::RequestId>;

bool contains(const RequestIds& sorted, const base::RequestId& id) {
    return std::binary_search(sorted.begin(), sorted.end(), id);
}

void sort_unique(RequestIds& ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

void unite(RequestIds& ids, const RequestIds& more) {
    if (more.empty()) return;
    RequestIds united;
    united.reserve(ids.size() + more.size());
    std::set_union(ids.begin(), ids.end(), more.begin(), more.end(), std::back_inserter(united));
    ids = std::move(united);
}

Sibling to_sibling(NewWrite write) {
    return Sibling{.dot = write.dot,
                   .request = write.request,
                   .time = write.time,
                   .expires_ms = write.expires_ms,
                   .is_tombstone = write.is_tombstone,
                   .value = std::move(write.value),
                   .hidden_by = {}};
}

Record begin_mint(const Record& local, const NewWrite& write) {
    STARLING_CHECK(!write.request.is_none());
    STARLING_CHECK(!local.context.covers(write.dot));
    STARLING_CHECK(local.find(write.request) == nullptr && !local.is_gone(write.request));
    Record record;
    record.context = local.context;
    record.context.add(write.dot);
    record.gone = local.gone;
    return record;
}

// `record.siblings` are those that stay.
void finish_mint(Record& record, RequestIds fallen, NewWrite write) {
    sort_unique(fallen);
    unite(record.gone, fallen);
    const auto after =
        std::upper_bound(record.siblings.begin(),
                         record.siblings.end(),
                         write.dot,
                         [](const Dot& dot, const Sibling& sibling) { return dot < sibling.dot; });
    record.siblings.insert(after, to_sibling(std::move(write)));
}

// A planted bug: the reader's context covers what was superseded before, and not what was read.
Superseded without_own_dots(const Record& record) {
    Superseded seen;
    for (const Context::Entry& entry : record.context.entries()) {
        const Dot dot{entry.actor, entry.sequence};
        const bool is_own = std::any_of(record.siblings.begin(),
                                        record.siblings.end(),
                                        [&](const Sibling& sibling) { return sibling.dot == dot; });
        if (!is_own) {
            seen.context.add(dot);
        } else if (dot.sequence > 1) {
            seen.context.add({dot.actor, dot.sequence - 1});
        }
    }
    return seen;
}

// Hashes fixed-size groups of integers, each under the hash of what came before: no buffer, one
// pass.
class Digest {
  public:
    explicit Digest(std::string_view key) : hash_(base::xxh3_64(key)) {}

    void add(const Sibling& sibling) {
        const Dot& dot = sibling.dot;
        const base::RequestId& request = sibling.request;
        add(std::array<uint64_t, 12>{dot.actor.node.raw(),
                                     dot.actor.start,
                                     dot.actor.random,
                                     dot.sequence,
                                     request.created_ms,
                                     request.random_high,
                                     request.random_low,
                                     sibling.time.wall_ms,
                                     sibling.time.logical,
                                     sibling.expires_ms,
                                     sibling.is_tombstone ? 1u : 0u,
                                     base::xxh3_64(sibling.value)});
        for (const base::RequestId& older : sibling.hidden_by) {
            add(std::array<uint64_t, 3>{older.created_ms, older.random_high, older.random_low});
        }
    }

    uint64_t value() const { return hash_; }

  private:
    template <size_t count>
    void add(const std::array<uint64_t, count>& words) {
        const std::string_view bytes(reinterpret_cast<const char*>(words.data()), sizeof(words));
        hash_ = base::xxh3_64(bytes, hash_);
    }

    uint64_t hash_;
};

}  // namespace

bool Record::has_live_value() const {
    return std::any_of(siblings.begin(), siblings.end(), [this](const Sibling& sibling) {
        return !sibling.is_tombstone && !is_hidden(sibling);
    });
}

bool Record::is_hidden(const Sibling& sibling) const {
    return std::any_of(sibling.hidden_by.begin(),
                       sibling.hidden_by.end(),
                       [this](const base::RequestId& older) { return find(older) != nullptr; });
}

const Sibling* Record::find(const base::RequestId& request) const {
    const auto at = std::find_if(siblings.begin(), siblings.end(), [&](const Sibling& sibling) {
        return sibling.request == request;
    });
    return at == siblings.end() ? nullptr : &*at;
}

bool Record::is_gone(const base::RequestId& request) const {
    return contains(gone, request);
}

Superseded Superseded::by_reading(const Record& record) {
    Superseded seen;
    seen.context = record.context;
    // Request ids order by their creation, so the newest are the last.
    const size_t told = std::min(record.gone.size(), superseded_requests_told_max);
    seen.requests.reserve(told + record.siblings.size());
    seen.requests.assign(record.gone.end() - static_cast<ptrdiff_t>(told), record.gone.end());
    for (const Sibling& sibling : record.siblings)
        seen.requests.push_back(sibling.request);
    sort_unique(seen.requests);
    if (STARLING_PLANTED(context_without_own_dot)) return without_own_dots(record);
    return seen;
}

bool Superseded::has_seen(const base::RequestId& request) const {
    return contains(requests, request);
}

void Superseded::merge(const Superseded& other) {
    context.merge(other.context);
    unite(requests, other.requests);
}

Record mint(const Record& local, const Superseded& superseded, NewWrite write) {
    static const Superseded nothing;
    const Superseded& seen = superseded.has_seen(write.request) ? nothing : superseded;

    Record record = begin_mint(local, write);
    record.context.merge(seen.context);
    RequestIds fallen = seen.requests;
    for (const Sibling& sibling : local.siblings) {
        if (seen.context.covers(sibling.dot) || contains(seen.requests, sibling.request)) {
            fallen.push_back(sibling.request);
        } else {
            record.siblings.push_back(sibling);
        }
    }
    finish_mint(record, std::move(fallen), std::move(write));
    return record;
}

Record mint_over(const Record& local, NewWrite write) {
    Record record = begin_mint(local, write);
    RequestIds fallen;
    for (const Sibling& sibling : local.siblings) {
        if (sibling.request < write.request) {
            fallen.push_back(sibling.request);
        } else {
            record.siblings.push_back(sibling);
        }
    }
    for (Sibling& younger : record.siblings) {
        // Those that hid it and are replaced now hide nothing any more.
        std::erase_if(younger.hidden_by,
                      [&](const base::RequestId& older) { return record.find(older) == nullptr; });
        unite(younger.hidden_by, {write.request});
    }
    finish_mint(record, std::move(fallen), std::move(write));
    return record;
}

void forget_requests_before(Record& record, uint64_t created_ms) {
    const base::RequestId oldest_kept{.created_ms = created_ms};
    auto kept = std::lower_bound(record.gone.begin(), record.gone.end(), oldest_kept);
    const bool is_remains = record.siblings.empty() && !record.context.empty();
    if (is_remains && kept == record.gone.end() && kept != record.gone.begin()) --kept;
    record.gone.erase(record.gone.begin(), kept);
}

uint64_t record_digest(std::string_view key, const Record& record) {
    Digest digest(key);
    for (const Sibling& sibling : record.siblings)
        digest.add(sibling);
    return digest.value();
}

uint64_t leaf_digest(std::string_view key, const Record& record) {
    Digest digest(key);
    bool has_value = false;
    for (const Sibling& sibling : record.siblings) {
        if (sibling.is_tombstone) continue;
        has_value = true;
        digest.add(sibling);
    }
    return has_value ? digest.value() : 0;
}

}  // namespace starling::node
