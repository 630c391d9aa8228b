#include "node/coordinator/operation.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace starling::node {

Operation::Operation(CoordinatorContext& context,
                     uint64_t id,
                     GroupId group,
                     base::Duration deadline)
    : context_(context),
      group_(group),
      id_(id),
      started_(context.loop.now()),
      deadline_(deadline),
      next_tick_(context.options.hint_after) {}

absl::Status Operation::outcome_unknown(const absl::Status& why) {
    return base::make_error(absl::StatusCode::kUnavailable,
                            base::reason::quorum_not_reached,
                            fmt::format("{}; the outcome is unknown", std::string(why.message())));
}

void Operation::arm_timer() {
    if (finished_) {
        return;
    }
    const base::Duration until = std::min(next_tick_, deadline_);
    timer_ = context_.loop.schedule_after(until - elapsed(), [self = shared_from_this()] {
        self->timer_ = 0;
        if (self->finished_) {
            return;
        }
        if (self->elapsed() >= self->deadline_) {
            self->on_deadline();
        } else {
            // Of those that a loop which stood still has missed one is made up for.
            do {
                self->next_tick_ *= 2;
            } while (self->next_tick_ <= self->elapsed());
            self->on_tick();
            self->arm_timer();
        }
    });
}

void Operation::finish() {
    if (finished_) {
        return;
    }
    finished_ = true;
    if (timer_ != 0) {
        context_.loop.cancel(std::exchange(timer_, 0));
    }
    context_.retire(id_);
}

peer::ReplicaMessage Operation::new_message(uint8_t attempt) const {
    peer::ReplicaMessage message;
    message.set_partition(group_.partition.raw());
    message.set_replicas(group_.replicas);
    message.set_operation(id_ | attempt);
    return message;
}

}  // namespace starling::node
