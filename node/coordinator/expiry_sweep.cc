#include "node/coordinator/expiry_sweep.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/coordinator/operation.h"
#include "node/replica/wire.h"
#include "node/version/expiry.h"

namespace starling::node {

namespace {

uint64_t in_ms(base::Duration duration) {
    return static_cast<uint64_t>(duration / std::chrono::milliseconds(1));
}

}  // namespace

// The values of one page that are being removed.
struct ExpirySweep::Page {
    size_t open = 0;
    bool is_last = false;
};

struct ExpirySweep::Removal {
    std::optional<Dot> dot;
    std::string record_bytes;
};

ExpirySweep::ExpirySweep(const CoordinatorContext& context)
    : context_(context),
      jitter_(std::chrono::milliseconds(context.random.next() % in_ms(jitter_max))) {}

void ExpirySweep::stop() {
    is_stopped_ = true;
    context_.loop.cancel(timer_);
}

void ExpirySweep::arm_timer(base::Duration delay) {
    timer_ = context_.loop.schedule_after(delay, [this] {
        run();
        arm_timer(pass_.has_value() ? page_interval : interval);
    });
}

void ExpirySweep::run() {
    if (is_busy_ || STARLING_PLANTED(expired_never_removed)) return;
    const ClockFence::Verdict verdict = context_.clock_fence.judge(
        *context_.view, context_.loop.now(), context_.wall_clock.wall_now());
    // What a wrong clock removes is gone on all replicas in the end, and may as well wait until
    // others confirm the time.
    const bool is_unconfirmed = verdict.asked == 0 && context_.view->peers.size() > 1;
    if (verdict.is_fenced || is_unconfirmed) {
        if (pass_.has_value()) {
            STARLING_MARK(expiry_pass_met_the_fence);
            pass_->earliest_left_ms = 0;
            end_pass();
        }
        return;
    }
    if (pass_.has_value() || begin_pass()) read_page();
}

std::optional<uint64_t> ExpirySweep::due_until(GroupId group) const {
    uint64_t live_before = 0;
    bool is_holder = false;
    for (const base::NodeId node : context_.view->holders_of(group.partition, group.replicas)) {
        if (node == context_.host.self()) {
            is_holder = true;
            break;
        }
        if (context_.view->is_alive(node)) ++live_before;
    }
    if (!is_holder) return std::nullopt;
    const uint64_t wait_ms = live_before == 0 ? 0 : live_before * in_ms(turn) + in_ms(jitter_);
    const uint64_t wall_ms = base::to_unix_ms(context_.wall_clock.wall_now());
    const uint64_t behind_ms = in_ms(context_.options.clock_drift_max) + wait_ms;
    return wall_ms - std::min(wall_ms, behind_ms);
}

bool ExpirySweep::begin_pass() {
    ExpiryIndex& index = context_.store.expiries();
    std::vector<GroupId> groups = index.due(base::to_unix_ms(context_.wall_clock.wall_now()));
    if (last_.has_value()) {
        const auto after = std::upper_bound(groups.begin(), groups.end(), *last_);
        std::rotate(groups.begin(), after, groups.end());
    }
    for (const GroupId group : groups) {
        const auto paused = paused_until_.find(group);
        if (paused != paused_until_.end()) {
            if (context_.loop.now() < paused->second) continue;
            paused_until_.erase(paused);
        }
        const std::optional<uint64_t> until_ms = due_until(group);
        if (!until_ms.has_value() || index.earliest_ms(group) > *until_ms) continue;
        last_ = group;
        index.begin_pass(group);
        pass_ = Pass{.group = group, .until_ms = *until_ms, .next = {}};
        return true;
    }
    return false;
}

void ExpirySweep::read_page() {
    is_busy_ = true;
    context_.store.expired(pass_->group,
                           pass_->until_ms,
                           pass_->next,
                           page_values_max,
                           [this](absl::StatusOr<ExpiryIndex::Page> page) {
                               if (page.ok()) {
                                   take(*std::move(page));
                                   return;
                               }
                               STARLING_MARK(expiry_index_unreadable);
                               pass_->earliest_left_ms = 0;
                               pass_->has_left_some = true;
                               finish_page(/*is_last=*/true);
                           });
}

void ExpirySweep::take(ExpiryIndex::Page page) {
    pass_->next = std::move(page.next);
    pass_->earliest_left_ms = std::min(pass_->earliest_left_ms, page.next_ms);
    const bool is_last = pass_->next.empty();
    if (page.entries.empty() || is_stopped_) {
        finish_page(is_last);
        return;
    }
    const auto removals =
        std::make_shared<Page>(Page{.open = page.entries.size(), .is_last = is_last});
    for (const ExpiryIndex::Entry& entry : page.entries) {
        remove(entry, removals);
    }
}

void ExpirySweep::remove(const ExpiryIndex::Entry& entry, const std::shared_ptr<Page>& page) {
    const GroupId group = pass_->group;
    // Shared by the steps of the change.
    const auto removal = std::make_shared<Removal>();
    context_.store.update(
        group,
        entry.key,
        [this, group, entry, removal](Record& local, Frontier& frontier) {
            return mint(group, entry, local, frontier, *removal);
        },
        [this, group, key = entry.key, removal] {
            if (!removal->dot.has_value()) return;
            context_.store.use_sequence(group);
            send(group, key, *removal);
        },
        [this, expires_ms = entry.expires_ms, removal, page](const absl::Status& status) {
            if (status.ok() && removal->dot.has_value()) {
                ++removed_;
            } else if (!status.ok()) {
                STARLING_MARK(expiry_value_left);
                pass_->earliest_left_ms = std::min(pass_->earliest_left_ms, expires_ms);
                pass_->has_left_some = true;
            }
            if (--page->open == 0) finish_page(page->is_last);
        });
}

absl::Status ExpirySweep::mint(GroupId group,
                               const ExpiryIndex::Entry& entry,
                               Record& local,
                               Frontier& frontier,
                               Removal& removal) {
    const auto value =
        std::find_if(local.siblings.begin(), local.siblings.end(), [&](const Sibling& sibling) {
            return sibling.dot == entry.dot && has_expired(sibling, entry.expires_ms);
        });
    if (value == local.siblings.end()) {
        STARLING_MARK(expiry_value_replaced_meanwhile);
        return absl::OkStatus();
    }
    if (context_.host.held_seats(group.partition).below(group.replicas).empty()) {
        STARLING_MARK(expiry_without_seat);
        return absl::UnavailableError("this node holds no seat of the partition");
    }
    if (hides_another(local, value->request)) {
        STARLING_MARK(expiry_value_hides_another);
        return absl::FailedPreconditionError("the value hides a younger one");
    }
    const base::RequestId request = removal_request(value->request);
    if (local.find(request) != nullptr || local.is_gone(request)) {
        STARLING_MARK(expiry_removal_known_beside_its_value);
        return absl::FailedPreconditionError("its removal is known already");
    }
    STARLING_RETURN_IF_ERROR(check_has_own_writes(context_, group, frontier));
    STARLING_RETURN_IF_ERROR(check_room_for_own_life(context_, frontier));
    context_.replica.forget_old_requests(group, local);
    if (local.gone.size() >= context_.options.gone_max) {
        STARLING_MARK(expiry_of_key_written_too_often);
        return absl::ResourceExhaustedError("the key was written too often");
    }
    const Dot dot{.actor = context_.actor, .sequence = context_.store.upcoming_sequence(group)};
    local = mint_removal(local, *value, dot);
    frontier.add(dot);
    removal = {.dot = dot, .record_bytes = wire::encode(local)};
    STARLING_MARK(expiry_removed);
    return absl::OkStatus();
}

void ExpirySweep::send(GroupId group, const std::string& key, Removal& removal) {
    std::vector<base::NodeId> to = context_.view->holders_of(group.partition, group.replicas);
    const std::vector<base::NodeId> awaited =
        context_.view->awaited_holders(group.partition, group.replicas);
    to.insert(to.end(), awaited.begin(), awaited.end());
    peer::ReplicaMessage message;
    message.set_partition(group.partition.raw());
    message.set_replicas(group.replicas);
    // Nobody waits for the answers.
    message.set_operation(Operation::draw_id(context_.random));
    message.mutable_write()->set_key(key);
    message.mutable_write()->set_record(std::move(removal.record_bytes));
    wire::set_dot(*message.mutable_write()->mutable_dot(), *removal.dot);
    for (const base::NodeId node : to) {
        if (node != context_.host.self()) context_.host.send(node, message);
    }
}

void ExpirySweep::finish_page(bool is_last) {
    is_busy_ = false;
    if (is_last) end_pass();
}

void ExpirySweep::end_pass() {
    context_.store.expiries().end_pass(pass_->group, pass_->earliest_left_ms);
    if (pass_->has_left_some) paused_until_[pass_->group] = context_.loop.now() + pause;
    pass_.reset();
}

}  // namespace starling::node
