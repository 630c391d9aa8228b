// Frames between the transport, which lives on loop 0, and the shards.

#include <utility>

#include "base/mark.h"
#include "gossip/join.h"
#include "node/server/node_impl.h"

namespace starling::node {

namespace {

// What a frame takes beside its bytes while it waits for another loop.
constexpr uint64_t queued_frame_overhead_bytes = 512;

}  // namespace

void Node::Impl::on_delivery(const env::Delivery& delivery) {
    peer::Envelope envelope;
    if (!envelope.ParseFromArray(delivery.frame.data(), static_cast<int>(delivery.frame.size()))) {
        STARLING_MARK(frame_undecodable);
        ++frames_malformed_;
        return;
    }
    dispatch(std::move(envelope), delivery.frame.size(), delivery.connection);
}

void Node::Impl::dispatch(peer::Envelope envelope,
                          size_t frame_bytes,
                          env::ConnectionId connection) {
    // Nobody joins a node that has not founded its cluster yet.
    if (phase_ != Phase::serving && phase_ != Phase::stopping) {
        STARLING_MARK(frame_before_serving);
        return;
    }
    const base::NodeId from(envelope.from());
    if (envelope.has_gossip()) {
        if (envelope.gossip().has_join_cluster()) {
            cluster_->join_for_tool(envelope.gossip(), [this, connection](std::string frame) {
                environment_.transport->reply(connection, std::move(frame)).IgnoreError();
            });
            return;
        }
        if (gossip::crosses_clusters(envelope.gossip())) {
            cluster_->on_message(base::NodeId(), envelope.gossip());
            return;
        }
    }
    const bool is_for_us = envelope.cluster() == cluster_id_ && !from.is_none() &&
                           from != node_id_ &&
                           (envelope.to() == 0 || envelope.to() == node_id_.raw());
    // An answer to an earlier life of this node is nobody's.
    const bool is_for_this_life = envelope.to_generation() == 0 ||
                                  envelope.to_generation() == cluster_->identity().generation;
    if (is_for_us && !is_for_this_life) {
        STARLING_MARK(frame_for_an_earlier_life);
    }
    if (!is_for_us || !is_for_this_life) {
        STARLING_MARK(frame_misdirected);
        ++frames_misdirected_;
        return;
    }
    if (envelope.has_gossip()) {
        note_peer_clock(from, envelope.wall_ms());
        cluster_->on_message(from, envelope.gossip());
        return;
    }
    const uint32_t partition = envelope.has_replica()    ? envelope.replica().partition()
                               : envelope.has_handover() ? envelope.handover().partition()
                               : envelope.has_entropy()  ? envelope.entropy().partition()
                                                         : UINT32_MAX;
    if (partition >= partition_count_) {
        ++frames_malformed_;
        return;
    }
    pass_on(partition % shard_count(), from, std::move(envelope), frame_bytes);
}

void Node::Impl::note_peer_clock(base::NodeId node, uint64_t wall_ms) {
    if (wall_ms == 0) {
        return;
    }
    const base::MonotonicTime now = loop0().now();
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index,
                 [node, wall_ms, now](Shard& shard) { shard.note_peer_clock(node, wall_ms, now); });
    }
}

void Node::Impl::pass_on(uint32_t shard,
                         base::NodeId from,
                         peer::Envelope envelope,
                         size_t frame_bytes) {
    env::EventLoop& loop = *environment_.loops[shard];
    if (loop.in_loop()) {
        shards_[shard]->on_message(from, envelope);
        return;
    }
    const uint64_t bytes = frame_bytes + queued_frame_overhead_bytes;
    if (!frames_in_[shard].take(bytes)) {
        STARLING_MARK(frame_dropped_on_the_way_in);
        return;
    }
    loop.post([this, shard, from, bytes, envelope = std::move(envelope)] {
        shards_[shard]->on_message(from, envelope);
        frames_in_[shard].give_back(bytes);
    });
}

bool Node::Impl::send_frame(const env::Address& to, std::string frame) {
    if (shard_count() == 1 || loop0().in_loop()) {
        return environment_.transport->send(to, std::move(frame)).ok();
    }
    const uint64_t bytes = frame.size() + queued_frame_overhead_bytes;
    if (!frames_out_.take(bytes)) {
        STARLING_MARK(frame_dropped_on_the_way_out);
        return false;
    }
    loop0().post([this, to, bytes, frame = std::move(frame)]() mutable {
        // A peer's full queue loses the frame too.
        environment_.transport->send(to, std::move(frame)).IgnoreError();
        frames_out_.give_back(bytes);
    });
    return true;
}

}  // namespace starling::node
