#include "node/server/cluster.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/server/namespaces.h"
#include "node/server/version.h"

namespace starling::node {

namespace {

constexpr base::Duration connection_watch_interval = std::chrono::milliseconds(100);

gossip::GossipOptions gossip_options(const NodeOptions& options) {
    gossip::GossipOptions out;
    out.swim.probe_interval = options.gossip_probe_interval;
    out.swim.probe_timeout = options.gossip_probe_interval / 2;
    return out;
}

PeerHealth health_of(gossip::Liveness liveness) {
    switch (liveness) {
        case gossip::Liveness::alive:
            return PeerHealth::alive;
        case gossip::Liveness::suspect:
            return PeerHealth::suspect;
        case gossip::Liveness::dead:
            return PeerHealth::dead;
    }
    return PeerHealth::dead;
}

// The seats a node holds, and in which cluster: a node that joins was the holder of all seats of a
// cluster of its own, at the epochs that the first holders here have too.
std::string encode_seats_payload(base::ClusterId cluster, const std::vector<HeldSeat>& held) {
    std::string out;
    base::put_u64(out, cluster.raw());
    return out.append(encode_held_seats(held));
}

absl::StatusOr<std::vector<HeldSeat>> decode_seats_payload(std::string_view payload,
                                                           const gossip::ClusterIdentity& cluster) {
    base::Reader in(payload);
    const base::ClusterId told(in.u64());
    if (in.failed() || told != cluster.id) {
        STARLING_MARK(member_announces_seats_of_another_cluster);
        return std::vector<HeldSeat>();
    }
    return decode_held_seats(
        in.rest(), cluster.partition_count, static_cast<uint8_t>(cluster.seats));
}

bool operator_equal(const ring::PlacementMember& a, const ring::PlacementMember& b) {
    return a.node == b.node && a.weight == b.weight && a.zone == b.zone;
}

}  // namespace

Cluster::Cluster(const NodeOptions& options,
                 env::EventLoop& loop,
                 env::Random& random,
                 env::Transport& transport,
                 const env::WallClock& wall_clock,
                 ClusterHost& host)
    : options_(options),
      loop_(loop),
      transport_(transport),
      wall_clock_(wall_clock),
      host_(host),
      gossip_(gossip_options(options), loop, random, *this),
      view_(std::make_shared<ClusterView>()) {}

gossip::MemberRecord Cluster::own_record() const {
    gossip::MemberRecord own;
    own.id = identity_.node;
    own.generation = identity_.generation;
    own.version = 1;
    own.peer_address = transport_.local_address();
    own.client_address = options_.client_address;
    own.zone = options_.zone;
    own.weight = options_.weight;
    own.state = gossip::MemberState::member;
    own.software_version = std::string(software_version);
    return own;
}

absl::Status Cluster::start(const Identity& identity, const std::string& stored) {
    identity_ = identity;
    gossip::Membership membership;
    if (!stored.empty()) {
        STARLING_ASSIGN_OR_RETURN(membership, gossip::Membership::decode_state(stored));
    }
    const gossip::MemberRecord own = own_record();
    STARLING_RETURN_IF_ERROR(gossip::validate(own));
    seats_ = std::make_unique<SeatView>(identity_.cluster.partition_count,
                                        static_cast<uint8_t>(identity_.cluster.seats));
    gossip_.start(identity_.cluster, own, std::move(membership));
    for (const gossip::MemberRecord& record : gossip_.members()) {
        take_seats(record);
    }
    make_view();
    return absl::OkStatus();
}

void Cluster::stop() {
    gossip_.stop();
}

void Cluster::on_message(base::NodeId from, const peer::GossipMessage& message) {
    gossip_.on_message(from, message);
}

void Cluster::join_for_tool(const peer::GossipMessage& request,
                            std::function<void(std::string frame)> answer) {
    join(request.join_cluster().address(),
         [this, answer = std::move(answer)](const absl::Status& status) {
             peer::Envelope envelope;
             envelope.set_cluster(identity_.cluster.id.raw());
             envelope.set_from(identity_.node.raw());
             *envelope.mutable_gossip() =
                 gossip::make_join_done(status,
                                        identity_.cluster.id,
                                        static_cast<uint32_t>(gossip_.membership().active_count()));
             if (status.ok()) {
                 // Where the tool may watch the views of the members.
                 envelope.mutable_gossip()->mutable_join_done()->set_message(
                     own_record().client_address);
             }
             answer(envelope.SerializeAsString());
         });
}

void Cluster::join(const std::string& address, absl::AnyInvocable<void(absl::Status)> done) {
    // Shared by the join and the look at the connection, of which the first to know answers.
    auto answer = std::make_shared<absl::AnyInvocable<void(absl::Status)>>(std::move(done));
    gossip_.join(address, [answer](absl::Status status) {
        if (*answer != nullptr) {
            std::exchange(*answer, nullptr)(std::move(status));
        }
    });
    watch_connection(address, answer);
}

void Cluster::watch_connection(
    const std::string& address,
    const std::shared_ptr<absl::AnyInvocable<void(absl::Status)>>& answer) {
    if (*answer == nullptr) {
        return;
    }
    // A peer with another secret, or of another version, never answers a frame: only the transport
    // knows why.
    absl::Status status = transport_.peer_status(address);
    if (absl::IsPermissionDenied(status) || absl::IsFailedPrecondition(status)) {
        STARLING_MARK(join_transport_knows_why);
        std::exchange(*answer, nullptr)(std::move(status));
        return;
    }
    loop_.schedule_after(connection_watch_interval,
                         [this, address, answer] { watch_connection(address, answer); });
}

void Cluster::set_own_seats(const std::vector<HeldSeat>& held) {
    if (!gossip_.started()) {
        return;
    }
    const absl::Status status =
        gossip_.set_payload(encode_seats_payload(identity_.cluster.id, held));
    if (!status.ok()) {
        host_.log("error",
                  fmt::format("the seats of this node cannot be announced: {}", status.ToString()));
    }
}

absl::Status Cluster::create_namespace(const NamespaceInfo& info) {
    return gossip_.set_item(namespace_item_key(info.id), 1, encode_namespace(info));
}

void Cluster::send(const env::Address& to, base::NodeId to_node, peer::GossipMessage message) {
    peer::Envelope envelope;
    envelope.set_cluster(identity_.cluster.id.raw());
    envelope.set_from(identity_.node.raw());
    envelope.set_to(to_node.raw());
    envelope.set_from_generation(identity_.generation);
    envelope.set_wall_ms(base::to_unix_ms(wall_clock_.wall_now()));
    *envelope.mutable_gossip() = std::move(message);
    // Gossip bears loss; a peer's full queue is one.
    transport_.send(to, envelope.SerializeAsString()).IgnoreError();
}

void Cluster::take_seats(const gossip::MemberRecord& record) {
    absl::StatusOr<std::vector<HeldSeat>> held =
        decode_seats_payload(record.payload, identity_.cluster);
    if (!held.ok()) {
        host_.log("warning",
                  fmt::format("the seats of node {} do not decode: {}",
                              base::to_string(record.id),
                              held.status().ToString()));
        return;
    }
    seats_->update(record.id, *held);
    host_.member_seats_changed(record.id, *std::move(held));
}

void Cluster::member_changed(const gossip::MemberRecord& record) {
    take_seats(record);
    view_soon();
}

void Cluster::member_removed(const gossip::DeathCertificate& certificate) {
    host_.log(
        "warning",
        fmt::format("node {} was removed from the cluster", base::to_string(certificate.node)));
    seats_->remove(certificate.node);
    host_.member_seats_changed(certificate.node, {});
    view_soon();
}

void Cluster::liveness_changed(base::NodeId node, gossip::Liveness liveness) {
    host_.log("info",
              fmt::format("node {} is {}", base::to_string(node), gossip::to_string(liveness)));
    view_soon();
    if (liveness == gossip::Liveness::alive) {
        // After the view that says so.
        loop_.post([this, node] { host_.peer_is_back(node); });
    }
}

void Cluster::item_changed(const std::string&) {
    view_soon();
}

void Cluster::persist(std::string state) {
    host_.persist_membership(std::move(state));
}

void Cluster::identity_conflict(const gossip::MemberRecord& seen) {
    host_.log("error",
              fmt::format("another process runs under this node's identity {} (generation {}, at "
                          "{}): was its data "
                          "directory copied or restored?",
                          base::to_string(seen.id),
                          seen.generation,
                          seen.peer_address));
    // Elsewhere it is a copy: lives that outdo one another would help neither.
    const bool is_here = seen.peer_address == transport_.local_address();
    if (is_here && seen.generation > identity_.generation) host_.outlived(seen.generation);
}

bool Cluster::holds_data() {
    const bool has_namespaces = namespaces().size() > 1;
    return has_namespaces || host_.holds_data();
}

void Cluster::adopt_cluster(const gossip::JoinGrant& grant, AdoptDone done) {
    Identity adopted = identity_;
    adopted.cluster = grant.cluster;
    host_.enter_cluster(
        adopted,
        grant.membership.encode_state(),
        [this, adopted, members = grant.membership.members(), done = std::move(done)](
            absl::Status status) mutable {
            if (status.ok()) {
                identity_ = adopted;
                seats_ = std::make_unique<SeatView>(identity_.cluster.partition_count,
                                                    static_cast<uint8_t>(identity_.cluster.seats));
            }
            done(std::move(status));
        });
}

void Cluster::view_soon() {
    if (!std::exchange(view_pending_, true)) {
        loop_.post([this] { make_view(); });
    }
}

void Cluster::make_view() {
    view_pending_ = false;
    auto view = std::make_shared<ClusterView>();
    view->self = identity_.node;
    view->cluster = identity_.cluster.id;
    view->partition_count = identity_.cluster.partition_count;
    view->seat_count = identity_.cluster.seats;
    std::vector<ring::PlacementMember> members;
    for (const auto& [id, member] : gossip_.membership().members()) {
        const gossip::MemberRecord& record = member.record;
        view->peers[id] = {.address = record.peer_address,
                           .generation = record.generation,
                           .health = health_of(gossip_.liveness(id))};
        if (record.state == gossip::MemberState::member) {
            members.push_back({.node = id, .weight = record.weight, .zone = record.zone});
        }
    }
    if (STARLING_PLANTED(placement_depends_on_order)) {
        std::stable_partition(members.begin(), members.end(), [this](const auto& member) {
            return member.node == identity_.node;
        });
    }
    if (!std::equal(
            members.begin(), members.end(), placed_.begin(), placed_.end(), operator_equal)) {
        placement_ = ring::Placement::compute(members, view->partition_count, view->seat_count);
        placed_ = std::move(members);
    }
    view->targets = placement_;
    view->holders.reserve(size_t{view->partition_count} * view->seat_count);
    for (uint32_t partition = 0; partition < view->partition_count; ++partition) {
        for (const SeatView::Holder& holder :
             seats_->holders(base::PartitionId(static_cast<uint16_t>(partition)))) {
            view->holders.push_back(holder.node);
        }
    }
    view->namespaces = namespaces();
    view_ = std::move(view);
    host_.view_changed(view_);
}

absl::btree_map<std::string, NamespaceInfo> Cluster::namespaces() const {
    return namespaces_in(gossip_.membership(), identity_.cluster.seats, options_.siblings_max);
}

}  // namespace starling::node
