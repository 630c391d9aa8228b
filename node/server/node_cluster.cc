// What the cluster part tells the shards, and they it.

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "node/server/node_impl.h"

namespace starling::node {

namespace {

// Between two tries to store what the node has gone back to, or which life was its latest.
constexpr base::Duration stay_retry = std::chrono::seconds(1);

}  // namespace

void Node::Impl::seats_changed(uint32_t shard,
                               base::ClusterId cluster,
                               std::vector<HeldSeat> held) {
    auto task = [this, shard, cluster, held = std::move(held)]() mutable {
        if (cluster.raw() != cluster_id_) {
            STARLING_MARK(seats_of_a_cluster_that_was_left);
            return;
        }
        held_[shard] = std::move(held);
        std::vector<HeldSeat> all;
        for (const std::vector<HeldSeat>& part : held_) {
            all.insert(all.end(), part.begin(), part.end());
        }
        std::sort(all.begin(), all.end());
        cluster_->set_own_seats(all);
    };
    if (phase_ == Phase::starting || loop0().in_loop()) {
        task();
    } else {
        loop0().post(std::move(task));
    }
}

void Node::Impl::view_changed(ClusterViewPtr view) {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [view](Shard& shard) { shard.set_view(view); });
    }
}

void Node::Impl::member_seats_changed(base::NodeId node, std::vector<HeldSeat> held) {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [node, held](Shard& shard) { shard.set_member_seats(node, held); });
    }
}

void Node::Impl::peer_is_back(base::NodeId node) {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [node](Shard& shard) { shard.peer_is_back(node); });
    }
}

void Node::Impl::store_membership(const std::string& state, ClusterHost::Done done) {
    shards_[0]->store_membership(state, nullptr, std::move(done));
}

void Node::Impl::persist_membership(std::string state) {
    store_membership(state, [this](const absl::Status& status) {
        if (!status.ok()) {
            STARLING_MARK(membership_not_stored);
            log("warning",
                fmt::format("the membership could not be stored: {}", status.ToString()));
        }
    });
}

bool Node::Impl::holds_data() {
    bool found = false;
    for (const std::unique_ptr<Shard>& shard : shards_) {
        found = found || shard->has_data();
    }
    return found;
}

void Node::Impl::outlived(uint32_t generation) {
    STARLING_MARK(start_counter_was_set_back);
    // Not from inside a start.
    loop0().post(lifeline_.guard([this, generation] {
        if (phase_ == Phase::stopping || phase_ == Phase::stopped) return;
        // The next start counts from the highest of all shards.
        Identity latest = cluster_->identity();
        latest.generation = generation;
        auto stored = lifeline_.guard([this, generation](const absl::Status& status) {
            if (status.ok()) {
                want_new_life(fmt::format(
                    "others know a later life of this node, with generation {}", generation));
                return;
            }
            loop0().schedule_after(stay_retry,
                                   lifeline_.guard([this, generation] { outlived(generation); }));
        });
        shards_[0]->store_membership(shards_[0]->membership(), &latest, std::move(stored));
    }));
}

void Node::Impl::enter_cluster(const Identity& identity,
                               std::string membership,
                               ClusterHost::Done done) {
    // From here on no shard writes for the old cluster, so what the answers say stays true.
    ask_all<bool>([](Shard& shard) { return shard.freeze(); },
                  [this, identity, membership = std::move(membership), done = std::move(done)](
                      const std::vector<bool>& has_data) mutable {
                      if (std::find(has_data.begin(), has_data.end(), true) != has_data.end()) {
                          STARLING_MARK(enter_cluster_with_data);
                          unfreeze();
                          done(base::make_error(absl::StatusCode::kFailedPrecondition,
                                                base::reason::has_data,
                                                "this node was written to while it was joining"));
                          return;
                      }
                      store_cluster(identity, membership, std::move(done));
                  });
}

void Node::Impl::store_cluster(const Identity& identity,
                               std::string membership,
                               ClusterHost::Done done) {
    auto stored = [this,
                   identity,
                   former = cluster_->identity(),
                   former_membership = shards_[0]->membership(),
                   done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) {
            STARLING_MARK(enter_cluster_not_stored);
            log("warning",
                fmt::format("the cluster that was to be joined could not be stored: {}",
                            status.ToString()));
            stay_in_cluster(former,
                            std::move(former_membership),
                            [this, status = std::move(status), done = std::move(done)]() mutable {
                                unfreeze();
                                done(std::move(status));
                            });
            return;
        }
        cluster_id_ = identity.cluster.id.raw();
        held_.assign(shard_count(), {});
        // Only when none of them announces seats of the old cluster any more.
        ask_all<bool>(
            [identity](Shard& shard) {
                shard.enter_cluster(identity);
                shard.unfreeze();
                return true;
            },
            [done = std::move(done)](const std::vector<bool>&) mutable { done(absl::OkStatus()); });
    };
    shards_[0]->store_membership(std::move(membership), &identity, std::move(stored));
}

void Node::Impl::stay_in_cluster(const Identity& former,
                                 std::string membership,
                                 absl::AnyInvocable<void()> done) {
    if (phase_ == Phase::stopping || phase_ == Phase::stopped) {
        return;
    }
    auto stored = [this, former, membership, done = std::move(done)](
                      const absl::Status& status) mutable {
        if (status.ok()) {
            done();
            return;
        }
        STARLING_MARK(stay_in_cluster_not_stored);
        loop0().schedule_after(stay_retry,
                               lifeline_.guard([this,
                                                former,
                                                membership = std::move(membership),
                                                done = std::move(done)]() mutable {
                                   stay_in_cluster(former, std::move(membership), std::move(done));
                               }));
    };
    shards_[0]->store_membership(std::move(membership), &former, std::move(stored));
}

void Node::Impl::unfreeze() {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [](Shard& shard) { shard.unfreeze(); });
    }
}

}  // namespace starling::node
