#include "tests/sim/session_users.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ring/placement.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel step_label("client.session");

}  // namespace

SessionUsers::SessionUsers(World world, size_t shared_keys, const node::NamespaceInfo& name_space)
    : world_(world),
      random_(world.random.fork("session users")),
      patience_(world.random.fork("session users: patience")),
      shared_keys_(shared_keys) {
    for (uint32_t i = 0; i < world_.options.workload.session_users; ++i) {
        const std::string key = fmt::format("session/{}", i);
        users_.push_back(
            {.own_key = world_.oracle.add_key(
                 {.name_space = name_space.name,
                  .key = key,
                  .partition = ring::partition_of(key, world_.options.node.partition_count),
                  .replicas = name_space.replicas})});
    }
}

SessionUsers::~SessionUsers() {
    world_.scheduler.drop_context(this);
}

void SessionUsers::begin(Operations& operations, SimTime until) {
    operations_ = &operations;
    until_ = until;
    running_ = true;
    for (User& user : users_)
        next(user);
}

void SessionUsers::next(User& user) {
    const base::Duration gap = random_.exponential(milliseconds(300));
    world_.scheduler.schedule_after(
        gap, {.owner = env::no_owner, .context = this, .label = &step_label, .task = [this, &user] {
                  if (running_) step(user);
              }});
}

void SessionUsers::step(User& user) {
    const uint64_t drawn = random_.below(100);
    if (drawn < 40) return write(user);
    if (drawn < 80 || shared_keys_ == 0) return read(user, user.own_key);
    read(user, Oracle::nth_key(random_.below(shared_keys_)));
}

// As a client does that knows little: no context, and often W = 1, so that the others lag behind.
void SessionUsers::write(User& user) {
    const bool is_delete = random_.below(4) == 0;
    const bool is_alone = random_.below(2) == 0;
    PutPlan plan{.key = user.own_key,
                 .value = is_delete ? std::string() : fmt::format("session value {}", ++serial_),
                 .is_delete = is_delete,
                 .ttl = is_delete ? base::Duration::zero() : draw_ttl(),
                 .quorum = is_alone ? 1u : 0u,
                 .tries_max = 2,
                 .session = user.seen[user.own_key]};
    operations_->put(std::move(plan), [this, &user](PutOutcome outcome) {
        if (outcome.status.ok()) user.seen[user.own_key] = std::move(outcome.session);
        next(user);
    });
}

base::Duration SessionUsers::draw_ttl() {
    if (random_.below(100) >= world_.options.workload.expiring) return base::Duration::zero();
    return random_.between(milliseconds(100), std::chrono::seconds(20));
}

// In a tenth of the reads as long as can be: one replica may have answered long before another one
// knows enough for the session.
void SessionUsers::read(User& user, KeyIndex key) {
    ReadPlan plan{.key = key,
                  .quorum = 1,
                  .deadline = random_.between(milliseconds(300), seconds(3)),
                  .tries_max = 2,
                  .session = user.seen[key]};
    const base::Duration longest =
        std::min<base::Duration>(world_.options.node.deadline_max, until_ - world_.scheduler.now());
    if (patience_.below(10) == 0 && longest > plan.deadline) {
        plan.deadline = patience_.between(plan.deadline, longest);
        plan.tries_max = 1;
    }
    operations_->read(std::move(plan), [this, &user, key](ReadOutcome outcome) {
        if (outcome.status.ok()) user.seen[key] = std::move(outcome.session);
        next(user);
    });
}

}  // namespace starling::sim
