#include "client/kv_requests.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "client/unary_request.h"

namespace starling::client {

namespace {

void fill(v1::RequestOptions& message, const RequestOptions& options) {
    message.set_namespace_(options.name_space);
    message.set_quorum(options.quorum);
    message.set_explain(options.explain);
    if (options.sloppy.has_value()) {
        message.set_sloppy(*options.sloppy);
    }
}

// What a put and a delete have in common.
template <typename Message>
void fill_write(Message& message, Core& core, const WriteOptions& options) {
    if (options.context.has_value()) {
        message.set_context(*options.context);
    }
    message.set_blind(options.blind);
    const base::RequestId id =
        options.request_id.has_value() ? *options.request_id : core.draw_request_id();
    message.mutable_request_id()->set_created_ms(id.created_ms);
    message.mutable_request_id()->set_random_high(id.random_high);
    message.mutable_request_id()->set_random_low(id.random_low);
    fill(*message.mutable_options(), options.request);
}

// A node refuses what is not after the moment at which the write was named.
uint64_t expires_ms(uint64_t named_ms, base::Duration ttl) {
    if (ttl <= base::Duration::zero()) {
        return named_ms;
    }
    return named_ms +
           static_cast<uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(ttl).count());
}

template <typename Request, typename Response>
std::weak_ptr<Cancellable> start(Core& core,
                                 typename UnaryRequest<Request, Response>::Method method,
                                 Repeat repeat,
                                 Request request,
                                 const StartOptions& options,
                                 Callback<Response> done) {
    using Running = UnaryRequest<Request, Response>;
    const base::Duration deadline =
        options.deadline > base::Duration::zero() ? options.deadline : core.options.deadline;
    if (core.options.read_your_writes) {
        done = [session = SessionOfRequest(core.session, request),
                done = std::move(done)](absl::StatusOr<Response> answer) mutable {
            if (answer.ok()) {
                session.learn(answer->session());
            }
            done(std::move(answer));
        };
    }
    request.mutable_options()->set_deadline_ms(
        node_deadline_ms(std::min(deadline, core.options.retry.try_timeout)));
    const typename Running::Parameters parameters{.method = method,
                                                  .repeat = repeat,
                                                  .deadline = deadline,
                                                  .may_exist_already = options.may_exist_already};
    const auto running =
        std::make_shared<Running>(core, parameters, std::move(request), std::move(done));
    running->start();
    return running;
}

}  // namespace

uint32_t node_deadline_ms(base::Duration try_time) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(try_time).count();
    return static_cast<uint32_t>(std::clamp<int64_t>(ms * 9 / 10, 1, 3'600'000));
}

v1::PutRequest make_put(Core& core,
                        std::string key,
                        std::string value,
                        const WriteOptions& options) {
    v1::PutRequest message;
    message.set_key(std::move(key));
    message.set_value(std::move(value));
    fill_write(message, core, options);
    message.set_expires_ms(options.ttl.has_value()
                               ? expires_ms(message.request_id().created_ms(), *options.ttl)
                               : options.expires_ms);
    return message;
}

v1::DeleteRequest make_delete(Core& core, std::string key, const WriteOptions& options) {
    v1::DeleteRequest message;
    message.set_key(std::move(key));
    fill_write(message, core, options);
    return message;
}

v1::GetRequest make_get(std::string key, const RequestOptions& options) {
    v1::GetRequest message;
    message.set_key(std::move(key));
    fill(*message.mutable_options(), options);
    return message;
}

std::weak_ptr<Cancellable> start_put(Core& core,
                                     v1::PutRequest request,
                                     const StartOptions& options,
                                     Client::WriteCallback done) {
    return start<v1::PutRequest, v1::WriteResponse>(
        core,
        [](const Endpoints::Connection& to, auto* context, auto* message, auto* answer, auto end) {
            to.kv->async()->Put(context, message, answer, std::move(end));
        },
        Repeat::same_write,
        std::move(request),
        options,
        std::move(done));
}

std::weak_ptr<Cancellable> start_delete(Core& core,
                                        v1::DeleteRequest request,
                                        const StartOptions& options,
                                        Client::WriteCallback done) {
    return start<v1::DeleteRequest, v1::WriteResponse>(
        core,
        [](const Endpoints::Connection& to, auto* context, auto* message, auto* answer, auto end) {
            to.kv->async()->Delete(context, message, answer, std::move(end));
        },
        Repeat::same_write,
        std::move(request),
        options,
        std::move(done));
}

std::weak_ptr<Cancellable> start_get(Core& core,
                                     v1::GetRequest request,
                                     const StartOptions& options,
                                     Client::GetCallback done) {
    return start<v1::GetRequest, v1::GetResponse>(
        core,
        [](const Endpoints::Connection& to, auto* context, auto* message, auto* answer, auto end) {
            to.kv->async()->Get(context, message, answer, std::move(end));
        },
        Repeat::harmless,
        std::move(request),
        options,
        std::move(done));
}

}  // namespace starling::client
