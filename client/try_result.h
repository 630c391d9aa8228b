#pragma once

// From what gRPC says of a call to what RetryCore wants to know.

#include <string>

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include "client/retry.h"
#include "starling/v1/error.pb.h"

namespace starling::client {

// REQUIRES: !status.ok().
Failure to_failure(const grpc::ClientContext& context,
                   const grpc::Status& status,
                   const std::string& address);

// Of a stream. What gRPC refuses of one is a single message, which need not be one with the request
// that asks, and other messages may have been carried out.
Failure to_stream_failure(const grpc::ClientContext& context,
                          const grpc::Status& status,
                          const std::string& address);

// Of a sub-request of a batch.
Failure to_failure(const v1::Error& error);

}  // namespace starling::client
