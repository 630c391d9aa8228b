#pragma once

// Takes the requests of one shard's partitions: checks them, decides who coordinates, keeps the
// operations under way, and hands them what arrives. Every check that can refuse comes before
// anything is written.
//
// Owned by the shard's loop.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/btree_map.h"

#include "node/coordinator/context.h"
#include "node/coordinator/operation.h"

namespace starling::node {

class Coordinator {
  public:
    explicit Coordinator(CoordinatorContext context);

    void put(PutRequest request, KvService::PutCallback done);
    void get(GetRequest request, KvService::GetCallback done);
    // Answers of replicas, and forwarded requests.
    void on_message(base::NodeId from, const peer::ReplicaMessage& message);
    void set_view(ClusterViewPtr view);

    // Refuses new requests from now on; those under way end by themselves within their deadlines.
    void stop_accepting() { accepting_ = false; }
    // Ends what is still under way.
    void abandon_all(const absl::Status& why);

    size_t operation_count() const { return operations_.size(); }
    uint64_t inflight_bytes() const { return inflight_->bytes(); }
    const CoordinatorContext& context() const { return context_; }

  private:
    void coordinate_put(PutRequest request, bool may_forward, KvService::PutCallback done);
    void on_forward(base::NodeId from, const peer::ReplicaMessage& message);
    absl::Status check_request_id(const base::RequestId& request) const;
    absl::Status check_expiry(const PutRequest& request) const;
    absl::Status check_key(const std::string& key) const;
    absl::StatusOr<NamespaceInfo> find_namespace(const std::string& name) const;
    // What a request's session has seen of the key; nullopt: it has no session.
    absl::StatusOr<std::optional<Context>> open_session(
        const NamespaceInfo& name_space,
        const std::string& key,
        const std::optional<std::string>& token) const;
    absl::StatusOr<AdmittedBytes> admit(uint64_t bytes);
    base::Duration deadline_of(const RequestOptions& options) const;
    GroupId group_for(const NamespaceInfo& name_space, const std::string& key) const;
    void run(const std::shared_ptr<Operation>& operation, AdmittedBytes bytes);
    void retire(uint64_t id);

    CoordinatorContext context_;
    bool accepting_ = true;
    // Ordered, so that a change of view reaches them in the same order in every run.
    absl::btree_map<uint64_t, std::shared_ptr<Operation>> operations_;
    const std::shared_ptr<base::ByteLimit> inflight_;
};

}  // namespace starling::node
