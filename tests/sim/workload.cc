#include "tests/sim/workload.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ring/placement.h"

namespace starling::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel arrival_label("client.arrival");

// A client that waits for this many answers begins nothing else.
constexpr uint64_t waiting_max = 64;

}  // namespace

Workload::Workload(env::SimScheduler& scheduler,
                   const env::SimRandom& random,
                   const RunOptions& options,
                   const std::vector<node::NamespaceInfo>& name_spaces,
                   Oracle& oracle)
    : scheduler_(scheduler),
      options_(options),
      what_(options.workload),
      oracle_(oracle),
      random_(random.fork("workload")),
      repeats_(random.fork("workload: what is sent again")) {
    const auto add = [&](const node::NamespaceInfo& name_space, const std::string& key) {
        oracle_.add_key({.name_space = name_space.name,
                         .key = key,
                         .partition = ring::partition_of(key, options.node.partition_count),
                         .replicas = name_space.replicas,
                         .policy = name_space.policy});
        keys_.emplace_back();
    };
    const auto keys = make_keys(random.fork("keys"), what_.keys, what_.nasty_keys);
    for (const node::NamespaceInfo& name_space : name_spaces) {
        for (const std::string& key : keys)
            add(name_space, key);
    }
    shared_keys_ = keys_.size();
    for (uint32_t i = 0; i < what_.lone_users; ++i) {
        add(name_spaces.front(), "lone/" + std::to_string(i));
        lone_sessions_.push_back(std::make_unique<Session>());
    }
    for (uint32_t i = 0; i < what_.clients; ++i)
        sessions_.push_back(std::make_unique<Session>());
}

Workload::~Workload() {
    scheduler_.drop_context(this);
}

void Workload::begin(Operations& operations) {
    operations_ = &operations;
    running_ = true;
    began_ = scheduler_.now();
    schedule_arrival();
    for (size_t i = 0; i < lone_sessions_.size(); ++i)
        begin_lone(i);
}

void Workload::schedule_arrival() {
    scheduler_.schedule_after(
        draw_gap(),
        {.owner = env::no_owner, .context = this, .label = &arrival_label, .task = [this] {
             if (!running_) return;
             if (operations_->waiting() < waiting_max) {
                 begin_operation(*sessions_[random_.below(sessions_.size())]);
             }
             schedule_arrival();
         }});
}

base::Duration Workload::draw_gap() {
    // Behind the aim, after an outage of the only holder say: up to eight times as fast. Ahead of
    // it: slower.
    const auto elapsed_ms =
        std::chrono::duration_cast<milliseconds>(scheduler_.now() - began_).count();
    const int64_t wanted = what_.checked_per_second * elapsed_ms / 1000;
    const int64_t behind = wanted - static_cast<int64_t>(oracle_.counts().checked());
    const int64_t per_second = std::clamp<int64_t>(what_.checked_per_second + behind / 3,
                                                   what_.checked_per_second / 2,
                                                   8 * what_.checked_per_second);
    return random_.exponential(microseconds(1'000'000 / per_second));
}

KeyIndex Workload::draw_key() {
    return Oracle::nth_key(random_.below(shared_keys_));
}

std::string Workload::make_value(KeyIndex key) {
    return keys_[key.raw() - 1].values.make(random_, ++serial_, what_.nasty_values);
}

void Workload::begin_operation(Session& session) {
    const KeyIndex key = draw_key();
    if (in_hundred(what_.invalid)) return begin_invalid(session, key);
    if (in_hundred(what_.races)) {
        const uint64_t rivals = 2 + random_.below(3);
        for (uint64_t i = 0; i < rivals; ++i) {
            Session& rival = *sessions_[random_.below(sessions_.size())];
            begin_put(rival, key, in_hundred(what_.deletes));
        }
        return;
    }
    uint64_t drawn = random_.below(100);
    const auto take = [&drawn](uint32_t parts) {
        if (drawn < parts) return true;
        drawn -= parts;
        return false;
    };
    if (take(what_.puts)) return begin_put(session, key, false);
    if (take(what_.deletes)) return begin_put(session, key, true);
    if (take(what_.read_modify_writes)) {
        return begin_read(session, key, [this, &session, key](bool read) {
            if (!read || !running_) return;
            const SeenToken seen = *session.latest_read(key);
            put_over(session, key, seen, [this, &session, key, seen](bool is_written) {
                // A context that served once is stale.
                const bool is_strict =
                    oracle_.key(key).policy == node::ConflictPolicy::reject_stale;
                if (is_written && running_ && is_strict && in_hundred(50)) {
                    put_over(session, key, seen, [](bool) {});
                }
            });
        });
    }
    begin_read(session, key, [](bool) {});
}

void Workload::put_over(Session& session,
                        KeyIndex key,
                        const SeenToken& seen,
                        std::function<void(bool)> then) {
    PutPlan plan = draw_put(session, key, false);
    plan.replaces = Replaces::seen;
    plan.context = seen;
    operations_->put(std::move(plan), [&session, key, then = std::move(then)](PutOutcome outcome) {
        const bool is_written = outcome.status.ok();
        if (is_written) session.remember_put(key, std::move(outcome.context));
        then(is_written);
    });
}

void Workload::begin_lone(size_t index) {
    if (!running_) return;
    const KeyIndex key = Oracle::nth_key(shared_keys_ + index);
    const auto next = [this, index](auto) {
        scheduler_.schedule_after(random_.exponential(milliseconds(400)),
                                  {.owner = env::no_owner,
                                   .context = this,
                                   .label = &arrival_label,
                                   .task = [this, index] { begin_lone(index); }});
    };
    if (in_hundred(50)) return operations_->read({.key = key}, next);
    const bool is_delete = in_hundred(20);
    operations_->put({.key = key,
                      .value = is_delete ? std::string() : make_value(key),
                      .is_delete = is_delete,
                      .ttl = is_delete ? base::Duration::zero() : draw_ttl()},
                     next);
}

uint32_t Workload::draw_quorum(KeyIndex key) {
    const uint32_t replicas = oracle_.key(key).replicas;
    if (in_hundred(what_.strict_quorums)) return replicas;
    return in_hundred(what_.own_quorums) ? static_cast<uint32_t>(1 + random_.below(replicas)) : 0;
}

base::Duration Workload::draw_deadline() {
    if (in_hundred(what_.short_deadlines))
        return random_.between(microseconds(200), milliseconds(5));
    return random_.between(milliseconds(300), seconds(3));
}

base::Duration Workload::draw_ttl() {
    if (!in_hundred(what_.expiring)) return base::Duration::zero();
    return in_hundred(50) ? random_.between(milliseconds(100), seconds(5))
                          : random_.between(seconds(5), seconds(40));
}

void Workload::begin_put(Session& session, KeyIndex key, bool is_delete) {
    operations_->put(draw_put(session, key, is_delete), [&session, key](PutOutcome outcome) {
        if (outcome.status.ok()) session.remember_put(key, std::move(outcome.context));
    });
}

PutPlan Workload::draw_put(Session& session, KeyIndex key, bool is_delete) {
    PutPlan plan{.key = key,
                 .value = is_delete ? std::string() : make_value(key),
                 .is_delete = is_delete,
                 .ttl = is_delete ? base::Duration::zero() : draw_ttl(),
                 .quorum = draw_quorum(key),
                 .deadline = draw_deadline(),
                 .tries_max = static_cast<uint32_t>(1 + random_.below(3)),
                 .needless_retry = in_hundred(what_.needless_retries)};
    if (in_hundred(10)) plan.sloppy = in_hundred(50);
    // Within the window in which a node takes it.
    if (repeats_.below(100) < what_.sent_again)
        plan.sent_again_after = repeats_.between(seconds(4), seconds(28));
    draw_context(plan, session);
    return plan;
}

void Workload::draw_context(PutPlan& plan, Session& session) {
    uint64_t drawn = random_.below(100);
    const auto take = [&drawn](uint32_t parts) {
        if (drawn < parts) return true;
        drawn -= parts;
        return false;
    };
    const bool is_last = oracle_.key(plan.key).policy == node::ConflictPolicy::last_write_wins;
    if (is_last && in_hundred(what_.blind_last)) {
        plan.replaces = Replaces::local;
        return;
    }
    if (take(what_.without_context)) return;
    if (take(what_.blind)) {
        plan.replaces = Replaces::local;
        return;
    }
    plan.replaces = Replaces::seen;
    if (take(what_.empty_context)) return;
    std::optional<SeenToken> token;
    if (take(what_.stale_context)) {
        token = session.older_read(plan.key, random_);
    } else if (take(what_.own_context)) {
        token = session.latest_put(plan.key);
    } else {
        token = session.latest_read(plan.key);
    }
    if (token) {
        plan.context = *std::move(token);
    } else {
        plan.replaces = Replaces::acknowledged;
    }
}

void Workload::begin_read(Session& session, KeyIndex key, std::function<void(bool)> then) {
    operations_->read({.key = key,
                       .quorum = draw_quorum(key),
                       .deadline = draw_deadline(),
                       .tries_max = static_cast<uint32_t>(1 + random_.below(3))},
                      [&session, key, then = std::move(then)](ReadOutcome outcome) {
                          const bool read = outcome.status.ok();
                          if (read) session.remember_read(key, std::move(outcome.context));
                          then(read);
                      });
}

void Workload::begin_invalid(Session& session, KeyIndex key) {
    const Oracle::Key& right = oracle_.key(key);
    node::PutRequest put;
    put.options.name_space = right.name_space;
    put.options.deadline = seconds(1);
    put.key = right.key;
    put.value = "must never be seen";
    put.request = operations_->next_request();
    const auto nothing = [] {};
    const std::optional<SeenToken> token = session.latest_read(key);
    if (in_hundred(10)) return operations_->administer_invalid();
    switch (random_.below(12)) {
        case 0:
            put.key.clear();
            return operations_->put_invalid(std::move(put), "an empty key", nothing);
        case 1:
            put.key = std::string(options_.node.key_bytes_max + 1, 'k');
            return operations_->put_invalid(std::move(put), "a key that is too long", nothing);
        case 2:
            put.options.quorum = right.replicas + 1;
            return operations_->put_invalid(std::move(put), "W above N", nothing);
        case 3:
            put.options.name_space = "nobody made this";
            return operations_->put_invalid(std::move(put), "an unknown namespace", nothing);
        case 4:
            put.request = {};
            return operations_->put_invalid(std::move(put), "no request id", nothing);
        case 5:
            if (const auto other = session.of_another_key(key)) {
                put.context = *other;
                return operations_->put_invalid(std::move(put), "another key's context", nothing);
            }
            [[fallthrough]];
        case 6:
            put.context = token && !token->token.empty() ? token->token
                                                         : std::string("forged context 0123456789");
            put.context->at(random_.below(put.context->size())) ^=
                static_cast<char>(1 + random_.below(255));
            return operations_->put_invalid(std::move(put), "a forged context", nothing);
        case 7: {
            constexpr std::array<std::string_view, 3> malformed = {
                "\x01", "\x7f of a format that nobody knows", "\x01 sealed by nobody at all"};
            put.context = malformed[random_.below(malformed.size())];
            if (random_.below(4) == 0) put.context->resize(node::context_token_bytes_max + 1, 'c');
            return operations_->put_invalid(std::move(put), "a malformed context", nothing);
        }
        case 8:
            // Rarely: megabytes take their time.
            if (random_.below(25) == 0) {
                put.value = std::string(options_.node.value_bytes_max + 1, 'v');
                return operations_->put_invalid(
                    std::move(put), "a value that is too long", nothing);
            }
            [[fallthrough]];
        case 9:
            put.expires_ms = put.request.created_ms;
            return operations_->put_invalid(
                std::move(put), "an expiry before its own time", nothing);
        case 10:
            put.value.clear();
            put.is_delete = true;
            put.expires_ms = put.request.created_ms + 1'000;
            return operations_->put_invalid(std::move(put), "a delete that expires", nothing);
        default: {
            node::GetRequest get{.options = put.options, .key = right.key};
            get.options.quorum = right.replicas + 1;
            return operations_->get_invalid(std::move(get), "R above N", nothing);
        }
    }
}

}  // namespace starling::sim
