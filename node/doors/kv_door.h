#pragma once

// starling.v1.KV: parses, asks the node, formats. Handlers run on gRPC's threads and answers are
// sent from the node's, so a call changes threads only where the node does.

#include "node/doors/batch_stream.h"
#include "node/doors/call_context.h"
#include "starling/v1/kv.grpc.pb.h"

namespace starling::node {

class KvDoor final : public v1::KV::CallbackService {
  public:
    KvDoor(CallContext& context, BatchStreams& streams) : context_(context), streams_(streams) {}

    grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* call,
                                  const v1::PutRequest* request,
                                  v1::WriteResponse* response) override;
    grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* call,
                                     const v1::DeleteRequest* request,
                                     v1::WriteResponse* response) override;
    grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* call,
                                  const v1::GetRequest* request,
                                  v1::GetResponse* response) override;
    grpc::ServerBidiReactor<v1::BatchRequest, v1::BatchResponse>* Batch(
        grpc::CallbackServerContext* call) override;

  private:
    CallContext& context_;
    BatchStreams& streams_;
};

}  // namespace starling::node
