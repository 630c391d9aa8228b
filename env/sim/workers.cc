#include "env/sim/workers.h"

#include <algorithm>
#include <utility>

namespace starling::env {
namespace {

const EventLabel job_label("workers.job");

}  // namespace

SimWorkers::SimWorkers(SimProcess& process, Options options)
    : process_(process),
      life_(process.life()),
      options_(options),
      random_(process.fork_random("workers")) {}

SimWorkers::~SimWorkers() {
    process_.scheduler().drop_context(this);
}

void SimWorkers::submit_after(base::Duration delay, Task job) {
    if (!process_.is_living(life_)) {
        return;
    }
    ++jobs_submitted_;
    const base::Duration own = options_.delay_min + random_.exponential(options_.delay_mean);
    process_.scheduler().schedule_after(
        process_.time_taken() + std::max(delay, base::Duration::zero()) +
            (slowness_ == 1 ? own : std::min(own * slowness_, slow_delay_max)),
        {.owner = process_.owner(), .context = this, .label = &job_label, .task = std::move(job)});
}

}  // namespace starling::env
