#pragma once

// The node's part in its cluster: runs gossip, keeps the membership on disk, answers and makes
// joins, and turns what gossip brings (members, their seats, namespaces, liveness) into the views
// that the shards work with. Several changes of one moment become one view.
//
// Owned by loop 0.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "env/clock.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "env/transport.h"
#include "gossip/gossip.h"
#include "node/coordinator/cluster_view.h"
#include "node/handover/seat_view.h"
#include "node/server/identity.h"
#include "node/server/options.h"
#include "starling/peer/envelope.pb.h"

namespace starling::node {

// What the cluster part asks of the node.
class ClusterHost {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    virtual void view_changed(ClusterViewPtr view) = 0;
    virtual void member_seats_changed(base::NodeId node, std::vector<HeldSeat> held) = 0;
    virtual void peer_is_back(base::NodeId node) = 0;
    virtual void persist_membership(std::string state) = 0;
    // Becomes a node of another cluster: refused (has_data) when it holds data. All shards have
    // entered it, durably, when done.
    virtual void enter_cluster(const Identity& identity, std::string membership, Done done) = 0;
    // Others know a life of this node at this very address, with that generation, which is later
    // than this life: its disk was set back. They talk to that one, so this one hears nothing.
    virtual void outlived(uint32_t generation) = 0;
    virtual bool holds_data() = 0;
    virtual void log(std::string_view severity, std::string_view line) = 0;

  protected:
    ~ClusterHost() = default;
};

class Cluster final : private gossip::GossipHost {
  public:
    Cluster(const NodeOptions& options,
            env::EventLoop& loop,
            env::Random& random,
            env::Transport& transport,
            const env::WallClock& wall_clock,
            ClusterHost& host);

    // `stored`: what persist_membership() last got, or empty.
    absl::Status start(const Identity& identity, const std::string& stored);
    void stop();

    // The body of a frame that has a GossipMessage. `from` is none for what crosses clusters.
    void on_message(base::NodeId from, const peer::GossipMessage& message);
    // A tool asks this node to join: `answer` gets the frame for it.
    void join_for_tool(const peer::GossipMessage& request,
                       std::function<void(std::string frame)> answer);
    void join(const std::string& address, absl::AnyInvocable<void(absl::Status)> done);

    // The seats this node holds, of all shards.
    void set_own_seats(const std::vector<HeldSeat>& held);
    absl::Status create_namespace(const NamespaceInfo& info);

    const Identity& identity() const { return identity_; }
    const ClusterViewPtr& view() const { return view_; }
    // As namespaces_in().
    absl::btree_map<std::string, NamespaceInfo> namespaces() const;
    const SeatView& seats() const { return *seats_; }
    const gossip::Gossip& gossip() const { return gossip_; }

  private:
    // gossip::GossipHost
    void send(const env::Address& to, base::NodeId to_node, peer::GossipMessage message) override;
    void member_changed(const gossip::MemberRecord& record) override;
    void member_removed(const gossip::DeathCertificate& certificate) override;
    void liveness_changed(base::NodeId node, gossip::Liveness liveness) override;
    void item_changed(const std::string& key) override;
    void persist(std::string state) override;
    void identity_conflict(const gossip::MemberRecord& seen) override;
    // Namespaces too: joining another cluster would lose both.
    bool holds_data() override;
    void adopt_cluster(const gossip::JoinGrant& grant, AdoptDone done) override;

    // Ends a join that waits for an answer as soon as the transport knows that there will be none.
    void watch_connection(const std::string& address,
                          const std::shared_ptr<absl::AnyInvocable<void(absl::Status)>>& answer);
    gossip::MemberRecord own_record() const;
    void take_seats(const gossip::MemberRecord& record);
    void view_soon();
    void make_view();
    ring::Placement compute_placement() const;

    const NodeOptions& options_;
    env::EventLoop& loop_;
    env::Transport& transport_;
    const env::WallClock& wall_clock_;
    ClusterHost& host_;

    Identity identity_;
    gossip::Gossip gossip_;
    std::unique_ptr<SeatView> seats_;
    ClusterViewPtr view_;
    // What the placement was computed from.
    std::vector<ring::PlacementMember> placed_;
    ring::Placement placement_;
    bool view_pending_ = false;
};

}  // namespace starling::node
