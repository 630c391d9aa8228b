#pragma once

// Puts, deletes and gets as messages, and their start through the unary calls of the API.

#include <memory>
#include <string>

#include "client/client.h"
#include "client/core.h"
#include "client/in_flight.h"

namespace starling::client {

// The messages name a write: with the id in the options, else with a new one.
v1::PutRequest make_put(Core& core,
                        std::string key,
                        std::string value,
                        const WriteOptions& options);
v1::DeleteRequest make_delete(Core& core, std::string key, const WriteOptions& options);
v1::GetRequest make_get(std::string key, const RequestOptions& options);

// With ClientOptions::read_your_writes a message carries what the session has seen of its key, and
// its answer is learned from before anybody else sees it.
class SessionOfRequest {
  public:
    // `message`: a put, a delete or a get, whose session this sets.
    template <typename Message>
    SessionOfRequest(SessionMarks& session, Message& message)
        : session_(&session), name_space_(message.options().namespace_()), key_(message.key()) {
        SessionMarks::Sent sent = session.of(name_space_, key_);
        up_to_ = sent.up_to;
        message.set_session(std::move(sent.token));
    }
    void learn(const std::string& token) const {
        session_->learn(name_space_, key_, up_to_, token);
    }

  private:
    SessionMarks* session_;
    std::string name_space_;
    std::string key_;
    uint64_t up_to_ = 0;
};

// What a node is told of a try's time: a little less, since the client's own "no answer" would say
// less than the node.
uint32_t node_deadline_ms(base::Duration try_time);

struct StartOptions {
    // Zero = the client's.
    base::Duration deadline = {};
    // It was tried before, by other means, and may have been carried out then.
    bool may_exist_already = false;
};

// What is returned cancels the request, and is gone when that has ended.
std::weak_ptr<Cancellable> start_put(Core& core,
                                     v1::PutRequest request,
                                     const StartOptions& options,
                                     Client::WriteCallback done);
std::weak_ptr<Cancellable> start_delete(Core& core,
                                        v1::DeleteRequest request,
                                        const StartOptions& options,
                                        Client::WriteCallback done);
std::weak_ptr<Cancellable> start_get(Core& core,
                                     v1::GetRequest request,
                                     const StartOptions& options,
                                     Client::GetCallback done);

}  // namespace starling::client
