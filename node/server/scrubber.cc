#include "node/server/scrubber.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/mark.h"

namespace starling::node {

Scrubber::Scrubber(Host& host,
                   storage::Engine& engine,
                   env::EventLoop& loop,
                   env::Workers& workers,
                   base::Duration period)
    : host_(host), engine_(engine), loop_(loop), period_(period), jobs_(loop, workers) {}

void Scrubber::stop() {
    is_stopped_ = true;
    loop_.cancel(timer_);
    timer_ = 0;
}

void Scrubber::rest(uint64_t bytes) {
    const uint64_t all = std::max<uint64_t>(engine_.statistics().disk_bytes, 1);
    const double share = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(all));
    const base::Duration rest = std::min(
        rest_max,
        std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(period_) * share));
    put_off_until_ = loop_.now() + 2 * rest;
    arm_timer(rest);
}

void Scrubber::arm_timer(base::Duration delay) {
    if (is_stopped_) return;
    timer_ = loop_.schedule_after(delay, [this] { tick(); });
}

void Scrubber::tick() {
    timer_ = 0;
    if (host_.is_disk_being_searched()) return arm_timer(put_off);
    if (host_.do_clients_wait() && loop_.now() < put_off_until_) {
        STARLING_MARK(scrub_put_off);
        return arm_timer(std::min(put_off, put_off_until_ - loop_.now()));
    }
    using Step = absl::StatusOr<storage::ScrubStep>;
    jobs_.run<Step>([this] { return engine_.scrub(step_bytes); },
                    [this](const Step& step) { done(step); });
}

void Scrubber::done(const absl::StatusOr<storage::ScrubStep>& step) {
    if (is_stopped_) return;
    if (!step.ok()) {
        STARLING_MARK(scrub_failed);
        ++counts_.failed;
        if (!std::exchange(is_reported_, true)) {
            host_.log("error",
                      fmt::format("something on the disk cannot be read: {}",
                                  std::string(step.status().message())));
        }
        return rest(step_bytes);
    }
    counts_.bytes += step->bytes;
    if (!step->is_last) return rest(std::max<uint64_t>(step->bytes, 1));
    ++counts_.rounds;
    is_reported_ = false;
    rest(step_bytes);
}

}  // namespace starling::node
