#pragma once

// starling.v1.Admin. Ping is answered here; everything else asks the node.

#include "node/doors/call_context.h"
#include "starling/v1/admin.grpc.pb.h"

namespace starling::node {

class AdminDoor final : public v1::Admin::CallbackService {
  public:
    explicit AdminDoor(CallContext& context) : context_(context) {}

    grpc::ServerUnaryReactor* Ping(grpc::CallbackServerContext* call,
                                   const v1::PingRequest* request,
                                   v1::PingResponse* response) override;
    grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* call,
                                   const v1::JoinRequest* request,
                                   v1::JoinResponse* response) override;
    grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* call,
                                     const v1::StatusRequest* request,
                                     v1::StatusResponse* response) override;
    grpc::ServerUnaryReactor* Ring(grpc::CallbackServerContext* call,
                                   const v1::RingRequest* request,
                                   v1::RingResponse* response) override;
    grpc::ServerUnaryReactor* CreateNamespace(grpc::CallbackServerContext* call,
                                              const v1::CreateNamespaceRequest* request,
                                              v1::CreateNamespaceResponse* response) override;
    grpc::ServerUnaryReactor* ListNamespaces(grpc::CallbackServerContext* call,
                                             const v1::ListNamespacesRequest* request,
                                             v1::ListNamespacesResponse* response) override;
    grpc::ServerUnaryReactor* InspectReplica(grpc::CallbackServerContext* call,
                                             const v1::InspectReplicaRequest* request,
                                             v1::InspectReplicaResponse* response) override;
    grpc::ServerUnaryReactor* ListConflicts(grpc::CallbackServerContext* call,
                                            const v1::ListConflictsRequest* request,
                                            v1::ListConflictsResponse* response) override;

  private:
    CallContext& context_;
};

}  // namespace starling::node
