#include "node/doors/kv_door.h"

#include <utility>

#include "node/doors/convert.h"
#include "node/doors/unary_call.h"

namespace starling::node {

namespace {

// Admission and deadline: what a put and a get have in common before the node is asked.
template <typename Request>
absl::Status prepare(UnaryCall& call, absl::StatusOr<Request>& request) {
    if (!request.ok()) {
        return request.status();
    }
    if (absl::Status status = call.admit(payload_bytes(*request)); !status.ok()) {
        return status;
    }
    return limit_deadline(call.call(), request->options.deadline);
}

template <typename Response>
auto answer(UnaryCall* call, Response* response) {
    return [handle = CallHandle(call), response](auto result) mutable {
        UnaryCall* finished = handle.release();
        if (!result.ok()) {
            finished->fail(result.status());
            return;
        }
        const size_t bytes = payload_bytes(*result);
        fill(*response, *std::move(result));
        finished->succeed(bytes);
    };
}

void start_write(KvService& kv,
                 UnaryCall* call,
                 absl::StatusOr<PutRequest> request,
                 v1::WriteResponse* response) {
    if (absl::Status status = prepare(*call, request); !status.ok()) {
        call->fail(status);
        return;
    }
    kv.put(*std::move(request), answer(call, response));
}

}  // namespace

grpc::ServerUnaryReactor* KvDoor::Put(grpc::CallbackServerContext* call,
                                      const v1::PutRequest* request,
                                      v1::WriteResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::put);
    start_write(context_.kv,
                reactor,
                take_put(take_message(request), context_.options.requests, context_.request_ids),
                response);
    return reactor;
}

grpc::ServerUnaryReactor* KvDoor::Delete(grpc::CallbackServerContext* call,
                                         const v1::DeleteRequest* request,
                                         v1::WriteResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::remove);
    start_write(context_.kv,
                reactor,
                take_delete(take_message(request), context_.options.requests, context_.request_ids),
                response);
    return reactor;
}

grpc::ServerUnaryReactor* KvDoor::Get(grpc::CallbackServerContext* call,
                                      const v1::GetRequest* request,
                                      v1::GetResponse* response) {
    auto* reactor = new UnaryCall(context_, *call, Method::get);
    auto get = take_get(take_message(request), context_.options.requests);
    if (absl::Status status = prepare(*reactor, get); !status.ok()) {
        reactor->fail(status);
    } else {
        context_.kv.get(*std::move(get), answer(reactor, response));
    }
    return reactor;
}

grpc::ServerBidiReactor<v1::BatchRequest, v1::BatchResponse>* KvDoor::Batch(
    grpc::CallbackServerContext* call) {
    return new BatchStream(context_, streams_, *call);
}

}  // namespace starling::node
