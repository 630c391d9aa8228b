#include "tests/sim/client_link.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::sim {

namespace {

const env::EventLabel request_label("client.request");
const env::EventLabel answer_label("client.answer");

}  // namespace

template <typename Result>
struct ClientLink::Call {
    explicit Call(Events<Result> what) : events(std::move(what)) {}
    ~Call() { events.ended(delivered, unanswered); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    Events<Result> events;
    uint32_t delivered = 0;
    uint32_t unanswered = 0;
};

// One copy of a request; lives as long as the node may act on it.
template <typename Result>
class ClientLink::Copy {
  public:
    Copy(ClientLink& link, std::shared_ptr<Call<Result>> call)
        : link_(link), call_(std::move(call)) {}
    ~Copy() {
        if (machine_ == nullptr) return;
        --link_.under_way_;
        if (answered_) return;
        ++call_->unanswered;
        if (!link_.closing_ && machine_->process().is_living(life_)) {
            link_.world_.verdict.report(
                "I19", fmt::format("{} dropped a request without an answer", machine_->name()));
        }
    }
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;

    void arrive(Machine& machine) {
        machine_ = &machine;
        life_ = machine.process().life();
        ++call_->delivered;
        ++link_.under_way_;
    }
    void taken_up(base::MonotonicTime due) { due_ = due; }
    void answer(absl::StatusOr<Result> result) {
        STARLING_CHECK(!answered_);
        answered_ = true;
        link_.check_in_time(*machine_, due_);
        if (call_->events.given) call_->events.given(*machine_, result);
        link_.send_back(call_, std::move(result));
    }

  private:
    ClientLink& link_;
    std::shared_ptr<Call<Result>> call_;
    Machine* machine_ = nullptr;
    env::SimLife life_ = 0;
    base::MonotonicTime due_{};
    bool answered_ = false;
};

base::MonotonicTime ClientLink::due_of(Machine& machine,
                                       const node::RequestOptions& request) const {
    const node::NodeOptions& node = world_.options.node;
    const base::Duration asked =
        request.deadline > base::Duration::zero() ? request.deadline : node.deadline_default;
    return machine.process().monotonic_now() +
           std::min({asked, node.deadline_max, node.deadline_limit});
}

void ClientLink::check_in_time(Machine& machine, base::MonotonicTime due) const {
    const FaultOptions& faults = world_.options.faults;
    base::Duration allowed = lateness_max;
    if (faults.late_timers_per_million > 0) {
        // By a clock that may be fast.
        allowed += faults.timer_lateness_max * 11 / 10;
    }
    const base::Duration late = machine.process().monotonic_now() - due;
    const base::Duration since_pause = world_.scheduler.now() - machine.resumed_at();
    const bool was_paused = machine.resumed_at() >= env::SimTime::zero() && since_pause <= allowed;
    if (late <= allowed || was_paused) return;
    world_.verdict.report("I19",
                          fmt::format("{} answered a request {:.6f} s after its deadline",
                                      machine.name(),
                                      static_cast<double>(late.count()) * 1e-9));
}

void ClientLink::put(Machine& machine, node::PutRequest request, Events<node::PutResult> events) {
    send(machine, std::move(request), std::move(events));
}

void ClientLink::get(Machine& machine, node::GetRequest request, Events<node::GetResult> events) {
    send(machine, std::move(request), std::move(events));
}

template <typename Result, typename Request>
void ClientLink::send(Machine& machine, Request request, Events<Result> events) {
    const auto call = std::make_shared<Call<Result>>(std::move(events));
    // Shared by its copies, which may all be delivered.
    const auto shared = std::make_shared<const Request>(std::move(request));
    const uint32_t copies =
        random_.chance(world_.options.workload.link_duplicates_per_million) ? 2 : 1;
    for (uint32_t i = 0; i < copies; ++i) {
        if (random_.chance(world_.options.workload.link_loss_per_million)) continue;
        auto copy = std::make_unique<Copy<Result>>(*this, call);
        world_.scheduler.schedule_after(
            draw_delay(),
            {.owner = env::no_owner,
             .context = this,
             .label = &request_label,
             .task = [this, &machine, shared, copy = std::move(copy)]() mutable {
                 deliver(machine, *shared, std::move(copy));
             }});
    }
}

template <typename Result, typename Request>
void ClientLink::deliver(Machine& machine,
                         const Request& request,
                         std::unique_ptr<Copy<Result>> copy) {
    if (!machine.is_up()) return;
    copy->arrive(machine);
    // Copied into one that is not const, so that the node may have it as it is.
    machine.post([this, &machine, request = Request(request), copy = std::move(copy)]() mutable {
        copy->taken_up(due_of(machine, request.options));
        auto done = [copy = std::move(copy)](absl::StatusOr<Result> result) mutable {
            copy->answer(std::move(result));
        };
        if constexpr (std::is_same_v<Request, node::PutRequest>) {
            machine.node().put(std::move(request), std::move(done));
        } else {
            machine.node().get(std::move(request), std::move(done));
        }
    });
}

template <typename Result>
void ClientLink::send_back(const std::shared_ptr<Call<Result>>& call,
                           absl::StatusOr<Result> result) {
    if (random_.chance(world_.options.workload.link_loss_per_million)) return;
    world_.scheduler.schedule_after(draw_delay(),
                                    {.owner = env::no_owner,
                                     .context = this,
                                     .label = &answer_label,
                                     .task = [call, result = std::move(result)]() mutable {
                                         call->events.answered(std::move(result));
                                     }});
}

}  // namespace starling::sim
