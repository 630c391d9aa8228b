#include "node/coordinator/coordinator.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "node/coordinator/forward_operation.h"
#include "node/coordinator/get_operation.h"
#include "node/coordinator/put_operation.h"
#include "node/replica/wire.h"

namespace starling::node {

namespace {

absl::Status invalid(std::string_view reason, std::string_view message) {
    return base::make_error(absl::StatusCode::kInvalidArgument, reason, message);
}

// 0 in the request stands for the namespace's own choice.
absl::StatusOr<uint32_t> choose_quorum(uint32_t asked,
                                       uint32_t standard,
                                       uint32_t replicas,
                                       char name) {
    const uint32_t quorum = asked == 0 ? standard : asked;
    if (quorum > replicas) {
        STARLING_MARK(coordinator_quorum_above_n);
        return invalid(
            base::reason::invalid_quorum,
            fmt::format("{} = {} is above the namespace's N = {}", name, quorum, replicas));
    }
    return quorum;
}

constexpr std::string_view id_prefix = "id:";

// What an operation takes beside its bytes: itself, its entry, its callback, its messages.
constexpr uint64_t operation_overhead_bytes = 4096;

}  // namespace

Coordinator::Coordinator(CoordinatorContext context)
    : context_(std::move(context)),
      inflight_(std::make_shared<base::ByteLimit>(context_.options.inflight_bytes_max)) {
    context_.retire = [this](uint64_t id) { retire(id); };
}

absl::Status Coordinator::check_key(const std::string& key) const {
    if (key.empty()) {
        STARLING_MARK(coordinator_key_empty);
        return invalid(base::reason::key_empty, "the key is empty");
    }
    if (key.size() > context_.options.key_bytes_max) {
        STARLING_MARK(coordinator_key_too_large);
        return invalid(base::reason::key_too_large,
                       fmt::format("the key has {} bytes, {} are allowed",
                                   key.size(),
                                   context_.options.key_bytes_max));
    }
    return absl::OkStatus();
}

// That the time is still to come is checked where the write is minted: a retry of one that has
// expired meanwhile is told what became of it. Here is refused what is wrong in each try.
absl::Status Coordinator::check_expiry(const PutRequest& request) const {
    if (request.expires_ms == 0) {
        return absl::OkStatus();
    }
    if (request.is_delete) {
        STARLING_MARK(coordinator_delete_that_expires);
        return invalid(base::reason::invalid_expiry, "a delete does not expire");
    }
    if (request.expires_ms <= request.request.created_ms) {
        STARLING_MARK(coordinator_expiry_before_request);
        return invalid(base::reason::invalid_expiry,
                       fmt::format("expires_ms is {}, and the request was made at {}: it is a Unix "
                                   "time in milliseconds, still to come",
                                   request.expires_ms,
                                   request.request.created_ms));
    }
    const base::Duration ahead_max = context_.options.expiry_ahead_max;
    const uint64_t latest_ms = base::to_unix_ms(context_.wall_clock.wall_now()) +
                               static_cast<uint64_t>(ahead_max / std::chrono::milliseconds(1));
    if (request.expires_ms > latest_ms) {
        STARLING_MARK(coordinator_expiry_too_far);
        return invalid(base::reason::invalid_expiry,
                       fmt::format("expires_ms is {}, which is more than {} days ahead: it is a "
                                   "Unix time in milliseconds",
                                   request.expires_ms,
                                   ahead_max / std::chrono::hours(24)));
    }
    return absl::OkStatus();
}

absl::Status Coordinator::check_request_id(const base::RequestId& request) const {
    if (request.is_none()) {
        STARLING_MARK(coordinator_no_request_id);
        return invalid(base::reason::invalid_request_id, "a write needs a request id");
    }
    const uint64_t now_ms = context_.host.now_ms();
    const auto drift_ms =
        static_cast<uint64_t>(context_.options.clock_drift_max / std::chrono::milliseconds(1));
    if (request.created_ms > now_ms + drift_ms) {
        STARLING_MARK(coordinator_request_of_the_future);
        // Not the request's fault for certain, and no promise: a copy of it that arrives later, or
        // at a node whose clock is right, is taken.
        return base::make_error(
            absl::StatusCode::kUnavailable,
            base::reason::clock_drift,
            fmt::format("the request claims to be of {} ms in the future: this node's clock or the "
                        "client's is wrong",
                        request.created_ms - now_ms));
    }
    return check_request_age(context_, request);
}

absl::StatusOr<NamespaceInfo> Coordinator::find_namespace(const std::string& name) const {
    const auto& namespaces = context_.view->namespaces;
    if (name.starts_with(id_prefix)) {
        uint64_t raw = 0;
        const char* const end = name.data() + name.size();
        const auto parsed = std::from_chars(name.data() + id_prefix.size(), end, raw, 16);
        const bool is_id = parsed.ec == std::errc() && parsed.ptr == end;
        for (const auto& [known_name, info] : namespaces) {
            if (is_id && info.id.raw() == raw) {
                STARLING_MARK(coordinator_namespace_by_id);
                return info;
            }
        }
    }
    const auto found = namespaces.find(name);
    if (found == namespaces.end()) {
        STARLING_MARK(coordinator_unknown_namespace);
        return base::make_error(absl::StatusCode::kNotFound,
                                base::reason::unknown_namespace,
                                fmt::format("there is no namespace '{}'", name.substr(0, 64)));
    }
    return found->second;
}

absl::StatusOr<std::optional<Context>> Coordinator::open_session(
    const NamespaceInfo& name_space,
    const std::string& key,
    const std::optional<std::string>& token) const {
    if (!token.has_value()) {
        return std::optional<Context>();
    }
    STARLING_ASSIGN_OR_RETURN(Context seen, context_.sessions.open(name_space.id, key, *token));
    return std::optional<Context>(std::move(seen));
}

absl::StatusOr<AdmittedBytes> Coordinator::admit(uint64_t bytes) {
    if (!accepting_) {
        STARLING_MARK(coordinator_stopping);
        return base::make_error(absl::StatusCode::kUnavailable,
                                base::reason::stopping,
                                "the node is stopping: ask another one");
    }
    std::optional<AdmittedBytes> admitted = AdmittedBytes::take(inflight_, bytes);
    if (!admitted.has_value()) {
        STARLING_MARK(coordinator_overloaded);
        return base::make_error(
            absl::StatusCode::kResourceExhausted,
            base::reason::overloaded,
            fmt::format("{} bytes of requests are under way, {} are allowed: try again in "
                        "100 ms",
                        inflight_->bytes(),
                        inflight_->bytes_max()));
    }
    return *std::move(admitted);
}

base::Duration Coordinator::deadline_of(const RequestOptions& options) const {
    const base::Duration asked = options.deadline > base::Duration::zero()
                                     ? options.deadline
                                     : context_.options.deadline_default;
    return std::min(asked, context_.options.deadline_max);
}

GroupId Coordinator::group_for(const NamespaceInfo& name_space, const std::string& key) const {
    return {ring::partition_of(key, context_.view->partition_count),
            static_cast<uint8_t>(name_space.replicas)};
}

void Coordinator::put(PutRequest request, KvService::PutCallback done) {
    coordinate_put(std::move(request), /*may_forward=*/true, std::move(done));
}

void Coordinator::coordinate_put(PutRequest request,
                                 bool may_forward,
                                 KvService::PutCallback done) {
    const auto refuse = [&](absl::Status status) { done(std::move(status)); };
    const uint64_t bytes = operation_overhead_bytes + request.key.size() + request.value.size() +
                           (request.context.has_value() ? request.context->size() : 0) +
                           (request.session.has_value() ? request.session->size() : 0);
    absl::StatusOr<AdmittedBytes> admitted = admit(bytes);
    if (!admitted.ok()) {
        return refuse(std::move(admitted).status());
    }
    if (absl::Status status = check_key(request.key); !status.ok()) {
        return refuse(std::move(status));
    }
    if (request.value.size() > context_.options.value_bytes_max) {
        STARLING_MARK(coordinator_value_too_large);
        return refuse(invalid(base::reason::value_too_large,
                              fmt::format("the value has {} bytes, {} are allowed",
                                          request.value.size(),
                                          context_.options.value_bytes_max)));
    }
    if (absl::Status status = check_expiry(request); !status.ok()) {
        return refuse(std::move(status));
    }
    if (absl::Status status = check_request_id(request.request); !status.ok()) {
        return refuse(std::move(status));
    }
    absl::StatusOr<NamespaceInfo> name_space = find_namespace(request.options.name_space);
    if (!name_space.ok()) {
        return refuse(name_space.status());
    }
    const absl::StatusOr<uint32_t> quorum =
        choose_quorum(request.options.quorum, name_space->write_quorum, name_space->replicas, 'W');
    if (!quorum.ok()) {
        return refuse(quorum.status());
    }
    std::optional<Superseded> superseded;
    if (request.context.has_value()) {
        absl::StatusOr<Superseded> opened =
            context_.sealer.open(name_space->id, request.key, *request.context);
        if (!opened.ok()) {
            STARLING_MARK(coordinator_context_refused);
            return refuse(opened.status());
        }
        // Of last_write_wins time alone decides, so it is as if there were none.
        if (name_space->policy != ConflictPolicy::last_write_wins) {
            superseded = *std::move(opened);
        }
        request.blind = false;
    }
    absl::StatusOr<std::optional<Context>> session =
        open_session(*name_space, request.key, request.session);
    if (!session.ok()) {
        return refuse(std::move(session).status());
    }

    const GroupId group = group_for(*name_space, request.key);
    const base::Duration deadline = deadline_of(request.options);
    const uint64_t id = Operation::draw_id(context_.random);
    const bool holds = !context_.host.held_seats(group.partition).below(group.replicas).empty();
    if (!holds && !may_forward) {
        STARLING_MARK(coordinator_forwarded_to_no_holder);
        return refuse(base::make_error(absl::StatusCode::kUnavailable,
                                       base::reason::no_owner,
                                       "this node holds no seat of the partition"));
    }
    if (!holds) {
        STARLING_MARK(coordinator_forwards);
        run(std::make_shared<ForwardOperation>(
                context_, id, group, deadline, std::move(request), std::move(done)),
            *std::move(admitted));
        return;
    }
    PutPlan plan{.request = std::move(request),
                 .name_space = *name_space,
                 .group_key = {},
                 .acks_wanted = *quorum,
                 .count_hints = true,
                 .superseded = std::move(superseded),
                 .session = *std::move(session)};
    plan.group_key = group_key(name_space->id, plan.request.key);
    plan.count_hints = plan.request.options.sloppy.value_or(name_space->sloppy);
    run(std::make_shared<PutOperation>(
            context_, id, group, deadline, std::move(plan), std::move(done)),
        *std::move(admitted));
}

void Coordinator::get(GetRequest request, KvService::GetCallback done) {
    const uint64_t bytes = operation_overhead_bytes + request.key.size() +
                           (request.session.has_value() ? request.session->size() : 0);
    absl::StatusOr<AdmittedBytes> admitted = admit(bytes);
    if (!admitted.ok()) {
        return done(std::move(admitted).status());
    }
    if (absl::Status status = check_key(request.key); !status.ok()) {
        return done(std::move(status));
    }
    absl::StatusOr<NamespaceInfo> name_space = find_namespace(request.options.name_space);
    if (!name_space.ok()) {
        return done(name_space.status());
    }
    const absl::StatusOr<uint32_t> quorum =
        choose_quorum(request.options.quorum, name_space->read_quorum, name_space->replicas, 'R');
    if (!quorum.ok()) {
        return done(quorum.status());
    }
    absl::StatusOr<std::optional<Context>> session =
        open_session(*name_space, request.key, request.session);
    if (!session.ok()) {
        return done(std::move(session).status());
    }
    const GroupId group = group_for(*name_space, request.key);
    const base::Duration deadline = deadline_of(request.options);
    GetPlan plan{.request = std::move(request),
                 .name_space = *name_space,
                 .group_key = {},
                 .answers_wanted = *quorum,
                 .session = *std::move(session)};
    plan.group_key = group_key(name_space->id, plan.request.key);
    run(std::make_shared<GetOperation>(context_,
                                       Operation::draw_id(context_.random),
                                       group,
                                       deadline,
                                       std::move(plan),
                                       std::move(done)),
        *std::move(admitted));
}

void Coordinator::run(const std::shared_ptr<Operation>& operation, AdmittedBytes bytes) {
    operation->hold(std::move(bytes));
    operations_[operation->id()] = operation;
    operation->start();
}

void Coordinator::retire(uint64_t id) {
    operations_.erase(id);
}

void Coordinator::on_forward(base::NodeId from, const peer::ReplicaMessage& message) {
    auto answer = [this,
                   from,
                   partition = message.partition(),
                   replicas = message.replicas(),
                   operation = message.operation()](const absl::StatusOr<PutResult>& result) {
        peer::ReplicaMessage reply;
        reply.set_partition(partition);
        reply.set_replicas(replicas);
        reply.set_operation(operation);
        *reply.mutable_forward_reply() = to_message(result);
        context_.host.send(from, std::move(reply));
    };
    // The message's partition chose this shard; a key of another one is not this shard's to write.
    const base::PartitionId partition =
        ring::partition_of(message.forward().key(), context_.view->partition_count);
    if (partition.raw() != message.partition()) {
        STARLING_MARK(coordinator_forward_of_another_partition);
        answer(invalid(base::reason::invalid_request, "the key is not of the message's partition"));
        return;
    }
    coordinate_put(from_message(message.forward()), /*may_forward=*/false, std::move(answer));
}

void Coordinator::on_message(base::NodeId from, const peer::ReplicaMessage& message) {
    if (message.has_forward()) {
        on_forward(from, message);
        return;
    }
    const auto found = operations_.find(Operation::id_of(message.operation()));
    if (found == operations_.end()) {
        return;
    }
    const std::shared_ptr<Operation> operation = found->second;
    operation->on_reply(from, message);
}

void Coordinator::set_view(ClusterViewPtr view) {
    context_.view = std::move(view);
    std::vector<uint64_t> ids;
    for (const auto& [id, operation] : operations_) {
        ids.push_back(id);
    }
    for (const uint64_t id : ids) {
        const auto found = operations_.find(id);
        if (found == operations_.end()) {
            continue;
        }
        const std::shared_ptr<Operation> operation = found->second;
        STARLING_MARK(coordinator_view_changed_under_operation);
        operation->on_view_changed();
    }
}

void Coordinator::abandon_all(const absl::Status& why) {
    accepting_ = false;
    auto operations = std::move(operations_);
    operations_.clear();
    for (auto& [id, operation] : operations) {
        STARLING_MARK(coordinator_operation_abandoned);
        operation->abandon(why);
    }
}

}  // namespace starling::node
