#include "env/sim/loop.h"

#include <utility>

#include "base/check.h"

namespace starling::env {
namespace {

const EventLabel post_label("loop.post");
const EventLabel timer_label("loop.timer");

}  // namespace

SimLoop::SimLoop(SimProcess& process) : process_(process), life_(process.life()) {}

SimLoop::~SimLoop() {
    process_.scheduler().drop_context(this);
}

void SimLoop::post(Task task) {
    if (!process_.is_living(life_)) {
        return;
    }
    process_.scheduler().schedule_after(process_.time_taken(),
                                        {.owner = process_.owner(),
                                         .context = this,
                                         .label = &post_label,
                                         .task = std::move(task)});
}

TimerId SimLoop::schedule_after(base::Duration delay, Task task) {
    STARLING_CHECK_MSG(is_open_to_caller(), "a timer armed from outside its loop");
    if (!process_.is_living(life_)) {
        return 0;
    }
    return process_.scheduler().schedule_after(process_.draw_timer_delay(delay),
                                               {.owner = process_.owner(),
                                                .context = this,
                                                .label = &timer_label,
                                                .task = std::move(task)});
}

bool SimLoop::cancel(TimerId timer) {
    STARLING_CHECK_MSG(is_open_to_caller(), "a timer cancelled from outside its loop");
    return process_.scheduler().cancel(timer);
}

void SimLoop::run_here(absl::FunctionRef<void()> body) {
    process_.scheduler().run_as(process_.owner(), this, body);
}

bool SimLoop::is_open_to_caller() const {
    const void* const context = process_.scheduler().current_context();
    return context == nullptr || context == this;
}

}  // namespace starling::env
