#pragma once

// A node as the client library sees it: a gRPC server on loopback that answers as the test says,
// and can be ended and started again on its port.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include <grpcpp/grpcpp.h>

#include "base/check.h"
#include "starling/v1/admin.grpc.pb.h"
#include "starling/v1/kv.grpc.pb.h"

namespace starling::client {

// An error as a node tells it.
inline grpc::Status refuse(grpc::ServerContext* call,
                           grpc::StatusCode code,
                           const std::string& reason,
                           bool outcome_unknown = false,
                           const std::string& message = "said no") {
    call->AddTrailingMetadata("starling-reason", reason);
    if (outcome_unknown) {
        call->AddTrailingMetadata("starling-outcome-unknown", "true");
    }
    return {code, message};
}

class FakeService final : public v1::KV::Service, public v1::Admin::Service {
  public:
    using OnPut = std::function<grpc::Status(
        grpc::ServerContext*, const v1::PutRequest&, v1::WriteResponse&)>;
    using OnGet =
        std::function<grpc::Status(grpc::ServerContext*, const v1::GetRequest&, v1::GetResponse&)>;
    using OnDelete = std::function<grpc::Status(
        grpc::ServerContext*, const v1::DeleteRequest&, v1::WriteResponse&)>;
    using BatchCall = grpc::ServerReaderWriter<v1::BatchResponse, v1::BatchRequest>;
    using OnBatch = std::function<grpc::Status(grpc::ServerContext*, BatchCall&)>;
    using OnCreate =
        std::function<grpc::Status(grpc::ServerContext*, const v1::Namespace&, v1::Namespace&)>;

    OnPut on_put = [](auto*, const auto&, auto&) { return grpc::Status::OK; };
    OnGet on_get = [](auto*, const auto&, auto&) { return grpc::Status::OK; };
    OnDelete on_delete = [](auto*, const auto&, auto&) { return grpc::Status::OK; };
    OnCreate on_create = [](auto*, const auto& wanted, auto& made) {
        made = wanted;
        return grpc::Status::OK;
    };
    // One operation of a stream; nullopt: no answer.
    std::function<std::optional<v1::BatchResult>(const v1::BatchOperation&)> on_operation =
        [](const v1::BatchOperation& operation) { return done(operation); };
    OnBatch on_batch = [this](grpc::ServerContext* call, BatchCall& stream) {
        return serve_batch(call, stream);
    };
    v1::StatusResponse status_answer;
    v1::RingResponse ring_answer;
    v1::ListNamespacesResponse namespaces_answer;
    std::function<grpc::Status(
        grpc::ServerContext*, const v1::ListConflictsRequest&, v1::ListConflictsResponse&)>
        on_list_conflicts = [](auto*, const auto&, auto& page) {
            page.set_is_last(true);
            return grpc::Status::OK;
        };

    std::function<grpc::Status(
        grpc::ServerContext*, const v1::InspectReplicaRequest&, v1::InspectReplicaResponse&)>
        on_inspect = [](auto*, const auto&, auto&) { return grpc::Status::OK; };

    static v1::BatchResult done(const v1::BatchOperation& operation) {
        v1::BatchResult result;
        result.set_number(operation.number());
        operation.has_get() ? static_cast<void>(result.mutable_get())
                            : static_cast<void>(result.mutable_write());
        return result;
    }
    grpc::Status serve_batch(grpc::ServerContext*, BatchCall& stream) {
        v1::BatchRequest request;
        while (stream.Read(&request)) {
            v1::BatchResponse response;
            for (const v1::BatchOperation& operation : request.operations()) {
                note(operations_, operation);
                if (auto result = on_operation(operation)) {
                    *response.add_results() = *std::move(result);
                }
            }
            if (response.results_size() > 0 && !stream.Write(response)) {
                break;
            }
        }
        return grpc::Status::OK;
    }
    std::vector<v1::BatchOperation> operations() {
        absl::MutexLock lock(&mutex_);
        return operations_;
    }

    std::vector<v1::PutRequest> puts() {
        absl::MutexLock lock(&mutex_);
        return puts_;
    }
    std::vector<v1::GetRequest> gets() {
        absl::MutexLock lock(&mutex_);
        return gets_;
    }
    std::vector<v1::DeleteRequest> deletes() {
        absl::MutexLock lock(&mutex_);
        return deletes_;
    }

    grpc::Status Put(grpc::ServerContext* call,
                     const v1::PutRequest* request,
                     v1::WriteResponse* response) override {
        note(puts_, *request);
        return on_put(call, *request, *response);
    }
    grpc::Status Get(grpc::ServerContext* call,
                     const v1::GetRequest* request,
                     v1::GetResponse* response) override {
        note(gets_, *request);
        return on_get(call, *request, *response);
    }
    grpc::Status Delete(grpc::ServerContext* call,
                        const v1::DeleteRequest* request,
                        v1::WriteResponse* response) override {
        note(deletes_, *request);
        return on_delete(call, *request, *response);
    }
    grpc::Status Batch(grpc::ServerContext* call, BatchCall* stream) override {
        return on_batch(call, *stream);
    }
    grpc::Status Ping(grpc::ServerContext*,
                      const v1::PingRequest*,
                      v1::PingResponse* response) override {
        response->set_message("PONG");
        response->set_is_ready(true);
        return grpc::Status::OK;
    }
    grpc::Status Status(grpc::ServerContext*,
                        const v1::StatusRequest*,
                        v1::StatusResponse* response) override {
        *response = status_answer;
        return grpc::Status::OK;
    }
    grpc::Status Ring(grpc::ServerContext*,
                      const v1::RingRequest*,
                      v1::RingResponse* response) override {
        *response = ring_answer;
        return grpc::Status::OK;
    }
    grpc::Status ListNamespaces(grpc::ServerContext*,
                                const v1::ListNamespacesRequest*,
                                v1::ListNamespacesResponse* response) override {
        *response = namespaces_answer;
        return grpc::Status::OK;
    }
    grpc::Status CreateNamespace(grpc::ServerContext* call,
                                 const v1::CreateNamespaceRequest* request,
                                 v1::CreateNamespaceResponse* response) override {
        return on_create(call, request->namespace_(), *response->mutable_namespace_());
    }
    grpc::Status InspectReplica(grpc::ServerContext* call,
                                const v1::InspectReplicaRequest* request,
                                v1::InspectReplicaResponse* response) override {
        return on_inspect(call, *request, *response);
    }
    grpc::Status ListConflicts(grpc::ServerContext* call,
                               const v1::ListConflictsRequest* request,
                               v1::ListConflictsResponse* response) override {
        return on_list_conflicts(call, *request, *response);
    }

  private:
    template <typename Message>
    void note(std::vector<Message>& seen, const Message& message) {
        absl::MutexLock lock(&mutex_);
        seen.push_back(message);
    }

    absl::Mutex mutex_;
    std::vector<v1::PutRequest> puts_;
    std::vector<v1::GetRequest> gets_;
    std::vector<v1::DeleteRequest> deletes_;
    std::vector<v1::BatchOperation> operations_;
};

class FakeServer {
  public:
    // `message_bytes_max`: the largest request that gRPC takes; 0: what is usual.
    explicit FakeServer(int message_bytes_max = 0) : message_bytes_max_(message_bytes_max) {
        start();
    }
    ~FakeServer() { stop(); }

    void start() {
        grpc::ServerBuilder builder;
        if (message_bytes_max_ != 0) {
            builder.SetMaxReceiveMessageSize(message_bytes_max_);
        }
        builder.AddListeningPort(
            "127.0.0.1:" + std::to_string(port_), grpc::InsecureServerCredentials(), &port_);
        builder.RegisterService(static_cast<v1::KV::Service*>(&service));
        builder.RegisterService(static_cast<v1::Admin::Service*>(&service));
        server_ = builder.BuildAndStart();
        STARLING_CHECK(server_ != nullptr);
    }
    void stop() {
        if (server_ != nullptr) {
            server_->Shutdown(std::chrono::system_clock::now());
            server_->Wait();
            server_.reset();
        }
    }

    std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

    FakeService service;

  private:
    const int message_bytes_max_;
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
};

}  // namespace starling::client
