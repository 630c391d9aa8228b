#include "tests/sim/operations.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/write_outcome.h"

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const env::EventLabel client_label("client.step");

// A second coordinator that took an acknowledged put over, in the background, may mint until its
// own deadline.
constexpr base::Duration late_mint = seconds(5);

base::Duration linger_of(const RunOptions& options) {
    const FaultOptions& faults = options.faults;
    base::Duration linger = seconds(5) + faults.weather.tail_max + faults.timer_lateness_max;
    if (faults.weather.duplicate_per_million > 0) linger += faults.weather.replay_delay_max;
    if (faults.pauses || faults.clogs || faults.swizzles) linger += 10 * faults.length_mean;
    if (faults.long_pauses) {
        // By a right clock a request that was held up for longer is too old to be minted.
        linger += faults.clocks_go_wrong()
                      ? options.long_pause_max()
                      : options.node.request_window + options.node.clock_drift_max;
    }
    return linger;
}

// What is invalid is so wherever and whenever a copy of the request arrives. Of other refusals a
// copy may be taken that the network has made: of a forwarded request.
bool promises_no_effect(const absl::Status& status, const FaultOptions& faults) {
    return !base::leaves_outcome_unknown(status) &&
           (absl::IsInvalidArgument(status) || faults.weather.duplicate_per_million == 0);
}

// What a node may say to a request that is well formed.
bool is_honest_failure(const absl::Status& status) {
    switch (status.code()) {
        case absl::StatusCode::kDeadlineExceeded:
        case absl::StatusCode::kUnavailable:
        case absl::StatusCode::kResourceExhausted:
        case absl::StatusCode::kAborted:
        case absl::StatusCode::kCancelled:
        case absl::StatusCode::kFailedPrecondition:
            return true;
        default:
            return false;
    }
}

}  // namespace

struct Operations::Operation {
    KeyIndex key;
    SimTime began{0};
    uint32_t tries = 0;
    uint32_t tries_max = 1;
    // The last try that failed: a repeated answer fails it once.
    uint32_t failed_try = 0;
    // Ask the same node until it answers.
    Machine* insist_on = nullptr;
    bool over = false;
    bool hit_by_fault = false;
    absl::Status last_error = absl::OkStatus();
};

struct Operations::Put : Operation {
    node::PutRequest request;
    uint32_t quorum = 0;
    WriteId id;
    bool needless_retry = false;
    base::Duration sent_again_after{0};
    bool acknowledged = false;
    SeenToken context;
    SessionSeen session;
    std::function<void(PutOutcome)> done;

    // Of all tries together.
    uint32_t sends_under_way = 0;
    uint32_t delivered = 0;
    uint32_t refusals = 0;
    uint32_t hinted = 0;
    // Another node than the one asked coordinated.
    bool forwarded = false;
    SimTime last_end{0};
    SimTime acknowledged_at{0};
    bool settled = false;
};

struct Operations::Read : Operation {
    node::GetRequest request;
    uint32_t quorum = 0;
    bool quiet = false;
    std::optional<SessionSeen> session;
    std::function<void(ReadOutcome)> done;
};

Operations::Operations(World world, std::vector<node::NamespaceInfo> name_spaces)
    : world_(std::move(world)),
      name_spaces_(std::move(name_spaces)),
      sealer_(world_.options.node.cluster_secret),
      linger_(linger_of(world_.options)),
      random_(world_.random.fork("operations")),
      link_({.scheduler = world_.scheduler, .verdict = world_.verdict, .options = world_.options},
            world_.random.fork("client link")) {
    world_.oracle.set_removal_delay(
        static_cast<uint64_t>(world_.options.node.clock_drift_max / milliseconds(1)));
    world_.oracle.set_request_window(
        static_cast<uint64_t>(world_.options.node.request_window / milliseconds(1)));
}

Operations::~Operations() {
    world_.scheduler.drop_context(this);
    world_.scheduler.drop_context(&link_);
}

const node::NamespaceInfo& Operations::name_space_of(KeyIndex key) const {
    const std::string& name = world_.oracle.key(key).name_space;
    return *std::ranges::find_if(name_spaces_, [&](const auto& info) { return info.name == name; });
}

base::RequestId Operations::next_request() {
    const base::WallTime now = world_.started + world_.scheduler.now();
    return {.created_ms = base::to_unix_ms(now),
            .random_high = random_.next_id(),
            .random_low = random_.next()};
}

template <typename Function>
void Operations::after(base::Duration delay, Function function) {
    world_.scheduler.schedule_after(delay,
                                    {.owner = env::no_owner,
                                     .context = this,
                                     .label = &client_label,
                                     .task = std::move(function)});
}

void Operations::note_world() {
    world_.oracle.clocks_showed(world_.cluster.latest_clock_ms());
    world_.oracle.set_disk_lost_data(world_.cluster.has_lost_data());
}

Machine* Operations::pick_node() {
    std::vector<Machine*> known;
    for (const auto& machine : world_.cluster.machines()) {
        if (world_.cluster.is_known(*machine)) known.push_back(machine.get());
    }
    return known.empty() ? nullptr : known[random_.below(known.size())];
}

std::string Operations::spell_name_space(KeyIndex key) {
    const node::NamespaceInfo& info = name_space_of(key);
    return random_.below(32) == 0 ? fmt::format("id:{:x}", info.id.raw()) : info.name;
}

node::Superseded Operations::open_context(KeyIndex key, const std::string& token) {
    const absl::StatusOr<node::Superseded> opened =
        sealer_.open(name_space_of(key).id, world_.oracle.key(key).key, token);
    if (opened.ok()) return *opened;
    world_.verdict.report("I6",
                          fmt::format("a node gave out a context that does not open: {}",
                                      opened.status().ToString()));
    return {};
}

// A node that hears others has its clock held against theirs (node/coordinator/clock_fence.h). What
// it writes over may have a time of theirs.
uint64_t Operations::latest_write_ms(base::NodeId coordinator) const {
    if (!world_.options.all_are_in_touch()) return UINT64_MAX;
    base::Duration ahead{0};
    for (const auto& machine : world_.cluster.machines()) {
        const bool is_other = !machine->is_up() || machine->node().id() != coordinator;
        if (is_other) ahead = std::max(ahead, machine->wall_clock().most_ahead());
    }
    // Times are told in whole milliseconds.
    constexpr base::Duration rounding = milliseconds(10);
    return base::to_unix_ms(world_.started + world_.scheduler.now() + ahead +
                            world_.options.node.clock_drift_max + rounding);
}

void Operations::begin(Operation& operation) {
    operation.began = world_.scheduler.now();
    operation.hit_by_fault = world_.fault_active();
    ++counts_.begun;
    ++under_way_;
}

void Operations::end(Operation& operation, const absl::Status& status) {
    operation.over = true;
    --under_way_;
    if (operation.hit_by_fault || operation.tries > 1 || world_.fault_active())
        ++counts_.hit_by_faults;
    if (status.ok()) return;
    ++counts_.failed;
    const std::string reason = base::reason_of(status);
    ++counts_.failures[reason.empty() ? absl::StatusCodeToString(status.code()) : reason];
}

bool Operations::may_try_again(const Operation& operation) {
    constexpr uint32_t in_ten = 6;
    if (operation.insist_on != nullptr) return operation.tries < operation.tries_max;
    return operation.tries < operation.tries_max && random_.below(10) < in_ten;
}

void Operations::check_error(std::string_view what, KeyIndex key, const absl::Status& status) {
    // A namespace that was made a moment ago is not known everywhere.
    const bool not_yet_known =
        absl::IsNotFound(status) && name_space_of(key).name != name_spaces_.front().name;
    const FaultOptions& faults = world_.options.faults;
    // A coordinator whose own record does not read says so.
    if ((faults.damaged_tables || faults.rotten_tables) && absl::IsDataLoss(status)) return;
    const bool blames_clock = base::reason_of(status) == base::reason::clock_drift;
    if (blames_clock ? faults.clocks_go_wrong() : is_honest_failure(status) || not_yet_known)
        return;
    world_.verdict.report("I19",
                          fmt::format("a valid {} of key {} was answered with {}",
                                      what,
                                      printable(world_.oracle.key(key).key),
                                      status.ToString()));
}

void Operations::put(PutPlan plan, std::function<void(PutOutcome)> done) {
    const auto put = std::make_shared<Put>();
    const Oracle::Key& key = world_.oracle.key(plan.key);
    put->key = plan.key;
    put->tries_max = plan.tries_max;
    put->quorum = plan.quorum == 0 ? name_space_of(plan.key).write_quorum : plan.quorum;
    put->needless_retry = plan.needless_retry;
    put->sent_again_after = plan.sent_again_after;
    put->done = std::move(done);
    put->request = {.options = {.name_space = spell_name_space(plan.key),
                                .quorum = plan.quorum,
                                .deadline = plan.deadline,
                                .sloppy = plan.sloppy},
                    .key = key.key,
                    .value = plan.value,
                    .is_delete = plan.is_delete,
                    .context = std::nullopt,
                    .blind = plan.replaces == Replaces::local,
                    .request = next_request()};
    if (plan.ttl > base::Duration::zero()) {
        put->request.expires_ms =
            put->request.request.created_ms + static_cast<uint64_t>(plan.ttl / milliseconds(1));
    }
    if (plan.session) {
        put->session = *std::move(plan.session);
        put->request.session = put->session.token;
    }
    if (plan.replaces == Replaces::seen) put->request.context = plan.context.token;
    if (plan.replaces == Replaces::seen && key.policy == node::ConflictPolicy::last_write_wins) {
        // There a context decides nothing.
        plan.replaces = Replaces::acknowledged;
    }
    begin(*put);
    put->id = world_.oracle.put_sent(
        plan.key,
        {.request = put->request.request,
         .value = plan.value,
         .is_delete = plan.is_delete,
         .expires_ms = put->request.expires_ms,
         .replaces = plan.replaces,
         .context_clock_ms = plan.replaces == Replaces::seen ? plan.context.clock_ms : 0,
         .quorum = put->quorum,
         .name_space_quorum = name_space_of(plan.key).write_quorum,
         .started = world_.scheduler.now()},
        plan.replaces == Replaces::seen ? plan.context.seen : std::vector<WriteId>());
    world_.trace.add(
        "client: key {} {}", plan.key.raw(), world_.oracle.history(plan.key).describe(put->id));
    try_put(put, plan.through != nullptr ? plan.through : pick_node());
}

void Operations::try_put(const PutPtr& put, Machine* machine) {
    const uint32_t number = ++put->tries;
    ++counts_.tries;
    if (number > 1) ++counts_.retries;
    ++put->sends_under_way;
    world_.trace.add("client: key {} w{} try {} through {}",
                     put->key.raw(),
                     put->id.raw(),
                     number,
                     machine->name());
    link_.put(*machine,
              put->request,
              {.given =
                   [this, put](Machine& by, const absl::StatusOr<node::PutResult>& result) {
                       if (!result.ok() || !world_.put_acknowledged) return;
                       world_.put_acknowledged(by, put->key, put->id, put->quorum, *result);
                   },
               .answered = [this, put, number](
                               auto result) { put_answered(put, number, std::move(result)); },
               .ended =
                   [this, put](uint32_t delivered, uint32_t) {
                       put->delivered += delivered;
                       put->last_end = world_.scheduler.now();
                       --put->sends_under_way;
                       settle_if_over(*put);
                   }});
    after(put->request.options.deadline + milliseconds(500), [this, put, number] {
        if (put->over || number != put->tries) return;
        ++counts_.timeouts;
        put_try_failed(put, number, absl::DeadlineExceededError("no answer"));
    });
}

void Operations::put_answered(const PutPtr& put,
                              uint32_t number,
                              absl::StatusOr<node::PutResult> result) {
    world_.scheduler.mix(put->id.raw());
    world_.scheduler.mix(static_cast<uint64_t>(result.status().code()));
    if (!result.ok()) {
        check_error("put", put->key, result.status());
        if (promises_no_effect(result.status(), world_.options.faults)) ++put->refusals;
        if (!put->over) put_try_failed(put, number, result.status());
        return;
    }
    world_.scheduler.mix(result->dot.sequence);
    put_acknowledged(put, *result);
    if (put->over) return;
    if (put->needless_retry && put->tries < put->tries_max) {
        put->needless_retry = false;
        try_put(put, pick_node());
        return;
    }
    finish_put(put, absl::OkStatus());
}

void Operations::put_acknowledged(const PutPtr& put, const node::PutResult& result) {
    world_.trace.add("client: key {} w{} acknowledged: dot {} by {}, {} seats, {} hinted{}",
                     put->key.raw(),
                     put->id.raw(),
                     node::to_string(result.dot),
                     base::to_string(result.receipt.coordinator),
                     result.receipt.seats_answered,
                     result.receipt.seats_hinted,
                     result.is_repeat ? ", a repeat" : "");
    const SimTime now = world_.scheduler.now();
    if (!put->acknowledged) put->acknowledged_at = now;
    put->acknowledged = true;
    put->hinted = std::max(put->hinted, result.receipt.seats_hinted);
    note_world();
    world_.oracle.clocks_allow(latest_write_ms(result.receipt.coordinator));
    put->forwarded = put->forwarded || result.receipt.forwarded_by.has_value();
    world_.oracle.put_acknowledged(
        put->key, put->id, now, result, open_context(put->key, result.context));
    put->context = {.token = result.context, .seen = {put->id}, .clock_ms = 0};
    put->session.token = result.session;
    put->session.add(put->id);
}

void Operations::put_try_failed(const PutPtr& put, uint32_t number, absl::Status why) {
    world_.trace.add(
        "client: key {} w{} try {}: {}", put->key.raw(), put->id.raw(), number, why.ToString());
    // An older try's error decides nothing while a newer one is under way.
    if (number != put->tries || number == put->failed_try) return;
    put->failed_try = number;
    if (put->acknowledged) return finish_put(put, absl::OkStatus());
    if (absl::IsInvalidArgument(why) || absl::IsAborted(why) || !may_try_again(*put))
        return finish_put(put, std::move(why));
    after(random_.between(milliseconds(1), milliseconds(300)), [this, put] {
        if (!put->over) try_put(put, pick_node());
    });
    // Until then no try is the latest: its late answer may still decide.
}

void Operations::finish_put(const PutPtr& put, absl::Status status) {
    end(*put, status);
    auto done = std::move(put->done);
    if (sends_again_ && put->sent_again_after > base::Duration::zero()) {
        send_again_later(put);
    } else {
        settle_if_over(*put);
    }
    done({.status = std::move(status),
          .id = put->id,
          .context = put->context,
          .session = put->session});
}

// Until then it is not settled: another dot of it may be minted.
void Operations::send_again_later(const PutPtr& put) {
    ++put->sends_under_way;
    to_send_again_.push_back(put);
    after(put->sent_again_after, [this, put] {
        if (std::erase(to_send_again_, put) == 0) return;
        --put->sends_under_way;
        ++counts_.sent_again;
        try_put(put, pick_node());
    });
}

void Operations::end_sending_again() {
    sends_again_ = false;
    for (const PutPtr& put : std::exchange(to_send_again_, {})) {
        --put->sends_under_way;
        settle_if_over(*put);
    }
}

void Operations::settle_if_over(Put& put) {
    if (put.settled || !put.over || put.sends_under_way > 0) return;
    put.settled = true;
    const bool decided_at_ack = put.acknowledged && put.delivered == 1 && put.hinted == 0 &&
                                !put.request.blind && !put.request.context.has_value();
    const SimTime last_mint =
        decided_at_ack ? put.acknowledged_at + late_mint : put.last_end + linger_;
    world_.oracle.put_settled(put.key, put.id, last_mint);
    if (put.acknowledged && put.delivered == 1 && !put.forwarded)
        world_.oracle.put_minted_once(put.key, put.id);
    if (!put.acknowledged && put.refusals > 0 && put.refusals == put.delivered) {
        world_.oracle.put_refused(put.key, put.id);
    }
}

void Operations::read(ReadPlan plan, std::function<void(ReadOutcome)> done) {
    const auto read = std::make_shared<Read>();
    const Oracle::Key& key = world_.oracle.key(plan.key);
    read->key = plan.key;
    read->tries_max = plan.tries_max;
    read->quorum = plan.quorum == 0 ? name_space_of(plan.key).read_quorum : plan.quorum;
    read->quiet = plan.quiet;
    read->insist_on = plan.quiet ? plan.through : nullptr;
    read->done = std::move(done);
    read->request.options.name_space = spell_name_space(plan.key);
    read->request.options.quorum = plan.quorum;
    read->request.options.deadline = plan.deadline;
    read->request.key = key.key;
    if (plan.session) read->request.session = plan.session->token;
    read->session = std::move(plan.session);
    begin(*read);
    try_read(read, plan.through != nullptr ? plan.through : pick_node());
}

void Operations::try_read(const ReadPtr& read, Machine* machine) {
    const uint32_t number = ++read->tries;
    ++counts_.tries;
    if (number > 1) ++counts_.retries;
    const SimTime sent = world_.scheduler.now();
    world_.trace.add(
        "client: key {} read R={} through {}", read->key.raw(), read->quorum, machine->name());
    // Shared by the answers, which may be several.
    const auto asked = std::make_shared<Oracle::Read>(Oracle::Read{
        .sent = sent, .quorum = read->quorum, .quiet = read->quiet, .clock_low_ms = UINT64_MAX});
    link_.get(*machine,
              read->request,
              {.given =
                   [asked](Machine& by, const absl::StatusOr<node::GetResult>&) {
                       const uint64_t clock_ms = base::to_unix_ms(by.wall_clock().wall_now());
                       asked->clock_low_ms = std::min(asked->clock_low_ms, clock_ms);
                       asked->clock_high_ms = std::max(asked->clock_high_ms, clock_ms);
                   },
               .answered =
                   [this, read, number, asked](auto result) {
                       asked->answered = world_.scheduler.now();
                       read_answered(read, number, *asked, std::move(result));
                   },
               .ended = [](uint32_t, uint32_t) {}});
    after(read->request.options.deadline + milliseconds(500), [this, read, number] {
        if (read->over || number != read->tries) return;
        ++counts_.timeouts;
        read_try_failed(read, number, absl::DeadlineExceededError("no answer"));
    });
}

void Operations::read_answered(const ReadPtr& read,
                               uint32_t number,
                               const Oracle::Read& asked,
                               absl::StatusOr<node::GetResult> result) {
    world_.scheduler.mix(static_cast<uint64_t>(result.status().code()));
    if (!result.ok()) {
        check_error("read", read->key, result.status());
        if (!read->over) read_try_failed(read, number, result.status());
        return;
    }
    ReadOutcome outcome{.status = absl::OkStatus()};
    std::string shown;
    for (const node::SiblingValue& sibling : result->values) {
        world_.scheduler.mix(sibling.value);
        outcome.values.push_back(sibling.value);
        if (world_.trace.on()) {
            shown += fmt::format(" {}={}", node::to_string(sibling.dot), printable(sibling.value));
        }
    }
    world_.trace.add("client: key {} read R={} sent {:.6f} got{}",
                     read->key.raw(),
                     read->quorum,
                     static_cast<double>(asked.sent.count()) * 1e-9,
                     shown.empty() ? " nothing" : shown);
    note_world();
    outcome.context = {.token = result->context,
                       .seen = world_.oracle.read_answered(
                           read->key, asked, *result, open_context(read->key, result->context)),
                       .clock_ms = asked.clock_high_ms};
    if (read->session) {
        check_session(*read, outcome.context.seen, world_.oracle.expired_by_ms(asked));
        outcome.session = *read->session;
        outcome.session.token = result->session;
        for (const WriteId id : outcome.context.seen)
            outcome.session.add(id);
    }
    if (!read->over) finish_read(read, std::move(outcome));
}

void Operations::check_session(const Read& read,
                               const std::vector<WriteId>& present,
                               uint64_t expired_by_ms) {
    const History& history = world_.oracle.history(read.key);
    std::vector<WriteId> seen = read.session->writes;
    SimTime lost_data_at{-1};
    for (const auto& machine : world_.cluster.machines())
        lost_data_at = std::max(lost_data_at, machine->lost_data_at());
    // Of these the disk that has lost something may have had the only copy.
    std::erase_if(seen, [&](WriteId id) {
        const Write& write = history.get(id);
        return write.started <= lost_data_at && std::max(write.strength, write.shown_strength) < 2;
    });
    if (seen.empty()) return;
    ++counts_.session_reads_checked;
    if (seen.size() < read.session->writes.size()) ++counts_.session_reads_excused;
    const std::string wrong = older_than_session(history, seen, present, expired_by_ms);
    if (wrong.empty()) return;
    world_.verdict.report("I17",
                          fmt::format("key {} ({}): a read with R={} is older than its session: {}",
                                      read.key.raw(),
                                      printable(world_.oracle.key(read.key).key),
                                      read.quorum,
                                      wrong));
}

void Operations::read_try_failed(const ReadPtr& read, uint32_t number, absl::Status why) {
    world_.trace.add("client: key {} read R={}: {}", read->key.raw(), read->quorum, why.ToString());
    if (number != read->tries || number == read->failed_try) return;
    read->failed_try = number;
    if (!may_try_again(*read)) return finish_read(read, {.status = std::move(why)});
    after(random_.between(milliseconds(1), milliseconds(300)), [this, read] {
        if (read->over) return;
        try_read(read, read->insist_on != nullptr ? read->insist_on : pick_node());
    });
}

void Operations::finish_read(const ReadPtr& read, ReadOutcome outcome) {
    end(*read, outcome.status);
    auto done = std::move(read->done);
    done(std::move(outcome));
}

template <typename Result>
void Operations::check_refusal(std::string_view what, const absl::StatusOr<Result>& result) {
    const absl::StatusCode code = result.status().code();
    world_.scheduler.mix(static_cast<uint64_t>(code));
    if (code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kNotFound) {
        ++counts_.invalid_refused;
    } else if (result.ok() || !is_honest_failure(result.status())) {
        world_.verdict.report(
            "P7",
            fmt::format(
                "a request with {} was answered with {}", what, result.status().ToString()));
    }
}

void Operations::put_invalid(node::PutRequest request,
                             std::string_view what,
                             std::function<void()> done) {
    link_.put(*pick_node(),
              std::move(request),
              {.answered = [this, what](auto result) { check_refusal(what, result); },
               .ended = [done = std::move(done)](uint32_t, uint32_t) { done(); }});
}

void Operations::administer_invalid() {
    Machine* const machine = pick_node();
    if (!world_.cluster.is_member(*machine)) return;
    const auto must_fail = [this](std::string_view what, const absl::Status& status) {
        world_.scheduler.mix(static_cast<uint64_t>(status.code()));
        if (status.ok()) world_.verdict.report("P7", fmt::format("a node {}", what));
        ++counts_.invalid_refused;
    };
    if (random_.below(2) == 0) {
        machine->post([machine, must_fail] {
            node::NamespaceInfo info;
            info.name = "default";
            info.replicas = info.read_quorum = info.write_quorum = 1;
            machine->node().create_namespace(std::move(info), [must_fail](const auto& made) {
                must_fail("makes a namespace that is there", made.status());
            });
        });
        return;
    }
    Machine* const known = pick_node();
    // The founder might rightly join another, as long as nobody has joined it.
    if (known == machine || machine->number() == 1) return;
    machine->post([machine, must_fail, address = known->address()] {
        machine->node().join(address, [must_fail](const auto& joined) {
            must_fail("that is a member joins", joined.status());
        });
    });
}

void Operations::get_invalid(node::GetRequest request,
                             std::string_view what,
                             std::function<void()> done) {
    link_.get(*pick_node(),
              std::move(request),
              {.answered = [this, what](auto result) { check_refusal(what, result); },
               .ended = [done = std::move(done)](uint32_t, uint32_t) { done(); }});
}

}  // namespace starling::sim
