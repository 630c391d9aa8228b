#pragma once

// Puts, deletes and gets as messages, and their start through the unary calls of the API.

#include <string>

#include "client/client.h"
#include "client/core.h"

namespace starling::client {

// The messages name a write: with the id in the options, else with a new one.
v1::PutRequest make_put(Core& core,
                        std::string key,
                        std::string value,
                        const WriteOptions& options);
v1::DeleteRequest make_delete(Core& core, std::string key, const WriteOptions& options);
v1::GetRequest make_get(std::string key, const RequestOptions& options);

// What a node is told of a try's time: a little less, since the client's own "no answer" would say
// less than the node.
uint32_t node_deadline_ms(base::Duration try_time);

struct StartOptions {
    // Zero = the client's.
    base::Duration deadline = {};
    // It was tried before, by other means, and may have been carried out then.
    bool may_exist_already = false;
};

void start_put(Core& core,
               v1::PutRequest request,
               const StartOptions& options,
               Client::WriteCallback done);
void start_delete(Core& core,
                  v1::DeleteRequest request,
                  const StartOptions& options,
                  Client::WriteCallback done);
void start_get(Core& core,
               v1::GetRequest request,
               const StartOptions& options,
               Client::GetCallback done);

}  // namespace starling::client
