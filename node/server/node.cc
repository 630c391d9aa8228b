#include "node/server/node.h"

#include <utility>

#include "base/check.h"
#include "node/server/node_impl.h"

namespace starling::node {

Node::Node(NodeOptions options, NodeEnvironment environment) {
    STARLING_CHECK(!environment.loops.empty() && environment.workers != nullptr &&
                   environment.transport != nullptr && environment.wall_clock != nullptr &&
                   environment.random != nullptr && environment.files != nullptr);
    impl_ = std::make_unique<Impl>(std::move(options), std::move(environment));
}

Node::~Node() = default;

absl::Status Node::start() {
    return impl_->start();
}
void Node::stop(std::function<void(absl::Status)> done) {
    impl_->stop(std::move(done));
}
void Node::put(PutRequest request, PutCallback done) {
    impl_->put(std::move(request), std::move(done));
}
void Node::get(GetRequest request, GetCallback done) {
    impl_->get(std::move(request), std::move(done));
}
void Node::join(std::string known_address, Callback<Joined> done) {
    impl_->join(std::move(known_address), std::move(done));
}
void Node::status(Callback<StatusReport> done) {
    impl_->status(std::move(done));
}
void Node::ring(Callback<std::vector<RingPartition>> done) {
    impl_->ring(std::move(done));
}
void Node::create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) {
    impl_->create_namespace(std::move(info), std::move(done));
}
void Node::list_namespaces(Callback<std::vector<NamespaceInfo>> done) {
    impl_->list_namespaces(std::move(done));
}
void Node::inspect_replica(InspectRequest request, Callback<InspectResult> done) {
    impl_->inspect_replica(std::move(request), std::move(done));
}
void Node::list_conflicts(ConflictQuery query, Callback<ConflictPage> done) {
    impl_->list_conflicts(std::move(query), std::move(done));
}
void Node::inspect(ShardInspection& out) {
    impl_->inspect(out);
}
bool Node::is_refilling(base::PartitionId partition) const {
    return impl_->is_refilling(partition);
}
bool Node::is_healing() const {
    return impl_->is_healing();
}
const Frontier* Node::owned_frontier(GroupId group) {
    return impl_->owned_frontier(group);
}
const Frontier* Node::seen_by_all(GroupId group) {
    return impl_->seen_by_all(group);
}
bool Node::holds_dead(base::NodeId node) const {
    return impl_->holds_dead(node);
}
base::NodeId Node::id() const {
    return impl_->id();
}
base::ClusterId Node::cluster() const {
    return impl_->cluster();
}
bool Node::is_ready() const {
    return impl_->is_ready();
}

}  // namespace starling::node
