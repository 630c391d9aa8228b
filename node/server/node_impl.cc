#include "node/server/node_impl.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "node/server/memory_division.h"

namespace starling::node {

namespace {

constexpr base::Duration drain_step = std::chrono::milliseconds(20);

}  // namespace

absl::Status not_serving() {
    return base::make_error(
        absl::StatusCode::kUnavailable, base::reason::stopping, "the node is starting or stopping");
}

Node::Impl::Impl(NodeOptions options, NodeEnvironment environment)
    : options_(std::move(options)),
      environment_(std::move(environment)),
      held_(environment_.loops.size()),
      frames_out_(MemoryDivision(options_).frames_out) {
    for (uint32_t shard = 0; shard < shard_count(); ++shard) {
        frames_in_.emplace_back(MemoryDivision(options_).frames_in / shard_count());
    }
}

class Node::Impl::OwnRequests final : public KvService, public AdminService {
  public:
    explicit OwnRequests(Impl& node) : node_(node) {}

    void put(PutRequest request, PutCallback done) override {
        node_.put(std::move(request), std::move(done));
    }
    void get(GetRequest request, GetCallback done) override {
        node_.get(std::move(request), std::move(done));
    }
    void join(std::string known_address, Callback<Joined> done) override {
        node_.join(std::move(known_address), std::move(done));
    }
    void status(Callback<StatusReport> done) override { node_.status(std::move(done)); }
    void ring(Callback<std::vector<RingPartition>> done) override { node_.ring(std::move(done)); }
    void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) override {
        node_.create_namespace(std::move(info), std::move(done));
    }
    void list_namespaces(Callback<std::vector<NamespaceInfo>> done) override {
        node_.list_namespaces(std::move(done));
    }
    void inspect_replica(InspectRequest request, Callback<InspectResult> done) override {
        node_.inspect_replica(std::move(request), std::move(done));
    }
    void list_conflicts(ConflictQuery query, Callback<ConflictPage> done) override {
        node_.list_conflicts(std::move(query), std::move(done));
    }

  private:
    Impl& node_;
};

Node::Impl::~Impl() = default;

void Node::Impl::log(std::string_view severity, std::string_view line) {
    if (environment_.log) {
        environment_.log(severity, line);
    }
}

void Node::Impl::want_new_life(const std::string& why) {
    log("warning", fmt::format("{}; what it leaves open ends with a new start of this node", why));
    if (environment_.want_new_life) {
        environment_.want_new_life();
    }
}

absl::Status Node::Impl::start() {
    phase_ = Phase::starting;
    STARLING_RETURN_IF_ERROR(check_options());
    STARLING_RETURN_IF_ERROR(open_shards());
    STARLING_ASSIGN_OR_RETURN(const Identity identity, settle_identity());
    node_id_ = identity.node;
    cluster_id_ = identity.cluster.id.raw();
    partition_count_ = identity.cluster.partition_count;

    cluster_ = std::make_unique<Cluster>(options_,
                                         loop0(),
                                         *environment_.random,
                                         *environment_.transport,
                                         *environment_.wall_clock,
                                         static_cast<ClusterHost&>(*this));
    for (uint32_t index = 0; index < shard_count(); ++index) {
        Identity own = identity;
        own.shard = index;
        STARLING_RETURN_IF_ERROR(shards_[index]->load(own));
    }
    environment_.transport->set_handler(
        [this](const env::Delivery& delivery) { on_delivery(delivery); });
    STARLING_RETURN_IF_ERROR(cluster_->start(identity, shards_[0]->membership()));
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [](Shard& shard) { shard.start(); });
        seats_changed(index, identity.cluster.id, shards_[index]->held());
    }
    start_canary();
    phase_ = Phase::seating;
    serve_when_seated(cluster_->gossip().membership().members().size() == 1);
    return absl::OkStatus();
}

void Node::Impl::start_canary() {
    if (!options_.canary) {
        return;
    }
    own_requests_ = std::make_unique<OwnRequests>(*this);
    canary_ = std::make_unique<Canary>(
        CanaryOptions{.interval = options_.canary_interval,
                      .partition_count = options_.partition_count,
                      .replicas = std::min(3u, options_.seat_count),
                      .doubt = options_.deadline_max + options_.request_window +
                               2 * options_.clock_drift_max},
        node_id_,
        Canary::Environment{.kv = *own_requests_,
                            .admin = *own_requests_,
                            .loop = loop0(),
                            .random = *environment_.random,
                            .wall_clock = *environment_.wall_clock,
                            .log = [this](std::string_view severity, std::string_view line) {
                                log(severity, line);
                            }});
    canary_->start();
}

void Node::Impl::serve_when_seated(bool is_alone) {
    if (!is_alone) {
        phase_ = Phase::serving;
        return;
    }
    // A cluster of one holds all seats.
    struct Pending {
        uint32_t left = 0;
        bool is_told = false;
    };
    auto pending = std::make_shared<Pending>();
    pending->left = shard_count();
    const auto note = [this, pending](const absl::Status& status) {
        if (!status.ok()) {
            STARLING_MARK(start_seats_not_stored);
            if (!std::exchange(pending->is_told, true)) {
                log("error",
                    fmt::format("the node cannot serve until its seats are stored, which is tried "
                                "again: {}",
                                status.ToString()));
            }
        } else if (--pending->left == 0) {
            Phase expected = Phase::seating;
            phase_.compare_exchange_strong(expected, Phase::serving);
        }
    };
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [this, note](Shard& shard) {
            shard.found([this, note](const absl::Status& status) {
                loop0().post([note, status] { note(status); });
            });
        });
    }
}

void Node::Impl::on_shard(uint32_t shard, absl::AnyInvocable<void(Shard&)> task) {
    env::EventLoop& loop = *environment_.loops[shard];
    if (phase_ == Phase::starting || loop.in_loop()) {
        task(*shards_[shard]);
        return;
    }
    loop.post([this, shard, task = std::move(task)]() mutable { task(*shards_[shard]); });
}

void Node::Impl::stop(std::function<void(absl::Status)> done) {
    loop0().post([this, done = std::move(done)] {
        if (phase_ == Phase::constructed || phase_ == Phase::starting) {
            done(absl::OkStatus());  // Never started, or not as a whole: nothing is under way.
            return;
        }
        if (canary_ != nullptr) {
            canary_->stop();
        }
        phase_ = Phase::stopping;
        ask_all<bool>(
            [](Shard& shard) {
                shard.coordinator().stop_accepting();
                return true;
            },
            [this, done](const std::vector<bool>&) {
                drain(loop0().now() + options_.drain_max, done);
            });
    });
}

void Node::Impl::drain(base::MonotonicTime until, const std::function<void(absl::Status)>& done) {
    const bool in_time = loop0().now() < until;
    ask_all<bool>(
        [in_time](Shard& shard) {
            if (!in_time) {
                STARLING_MARK(drain_takes_too_long);
                shard.coordinator().abandon_all(not_serving());
            }
            return shard.coordinator().operation_count() == 0;
        },
        [this, until, done](const std::vector<bool>& drained) {
            if (std::find(drained.begin(), drained.end(), false) == drained.end()) {
                close_all(done);
            } else {
                STARLING_MARK(drain_waits_for_operations);
                loop0().schedule_after(drain_step, [this, until, done] { drain(until, done); });
            }
        });
}

void Node::Impl::close_all(const std::function<void(absl::Status)>& done) {
    cluster_->stop();
    ask_all<bool>(
        [](Shard& shard) {
            shard.stop_background();
            return shard.is_idle();
        },
        [this, done](const std::vector<bool>& idle) {
            if (std::find(idle.begin(), idle.end(), false) != idle.end()) {
                STARLING_MARK(close_waits_for_shards);
                loop0().schedule_after(drain_step, [this, done] { close_all(done); });
                return;
            }
            phase_ = Phase::stopped;
            ask_all<absl::Status>([](Shard& shard) { return shard.close(); },
                                  [done](const std::vector<absl::Status>& closed) {
                                      absl::Status status;
                                      for (const absl::Status& one : closed) {
                                          status.Update(one);
                                      }
                                      done(status);
                                  });
        });
}

void Node::Impl::inspect(ShardInspection& out) {
    out.trees_ready = true;
    for (const std::unique_ptr<Shard>& shard : shards_) {
        shard->inspect(out);
    }
}

bool Node::Impl::is_healing() const {
    return std::any_of(
        shards_.begin(), shards_.end(), [](const auto& shard) { return shard->is_healing(); });
}

const Frontier* Node::Impl::owned_frontier(GroupId group) {
    return shards_[group.partition.raw() % shards_.size()]->owned_frontier(group);
}

const Frontier* Node::Impl::seen_by_all(GroupId group) {
    return shards_[group.partition.raw() % shards_.size()]->seen_by_all(group);
}

bool Node::Impl::holds_dead(base::NodeId node) const {
    const gossip::Gossip& gossip = cluster_->gossip();
    return gossip.find(node) != nullptr && gossip.liveness(node) == gossip::Liveness::dead;
}

}  // namespace starling::node
