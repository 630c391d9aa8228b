#pragma once

// What tools ask of nodes. Blocking, thread-safe. What only asks is tried again like a read; a join
// and the creation of a namespace only where the try before cannot have begun.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "client/options.h"
#include "starling/v1/admin.pb.h"

namespace starling::client {

struct Core;

class AdminClient {
  public:
    // invalid_argument names the option.
    static absl::StatusOr<std::unique_ptr<AdminClient>> make(ClientOptions options,
                                                             const ClientEnvironment& environment);
    ~AdminClient();
    AdminClient(const AdminClient&) = delete;
    AdminClient& operator=(const AdminClient&) = delete;

    absl::StatusOr<v1::PingResponse> ping();
    absl::StatusOr<v1::StatusResponse> status();
    absl::StatusOr<v1::RingResponse> ring();
    // `known_address`: the peer address of a member.
    absl::StatusOr<v1::JoinResponse> join(const std::string& known_address);
    absl::StatusOr<v1::Namespace> create_namespace(const v1::Namespace& wanted);
    absl::StatusOr<v1::ListNamespacesResponse> list_namespaces();
    absl::StatusOr<v1::InspectReplicaResponse> inspect_replica(
        const v1::InspectReplicaRequest& question);
    // One page of the conflicts that the node knows of.
    absl::StatusOr<v1::ListConflictsResponse> list_conflicts(const v1::ListConflictsRequest& from);

  private:
    explicit AdminClient(std::unique_ptr<Core> core);

    const std::unique_ptr<Core> core_;
};

}  // namespace starling::client
