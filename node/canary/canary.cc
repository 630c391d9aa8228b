#include "node/canary/canary.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "ring/placement.h"

namespace starling::node {

namespace {

std::string_view name_of(BrokenPromise promise) {
    switch (promise) {
        case BrokenPromise::lost_write:
            return "an acknowledged write is lost";
        case BrokenPromise::deleted_returned:
            return "a deleted value has returned";
        case BrokenPromise::stale_read:
            return "a majority read returned a replaced value";
    }
    return "";
}

}  // namespace

Canary::Canary(CanaryOptions options, base::NodeId self, Environment environment)
    : options_(options),
      self_(self),
      environment_(std::move(environment)),
      life_(fmt::format("{:016x}", environment_.random.next_id())),
      keys_(options.partition_count) {}

Canary::~Canary() {
    stop();
}

void Canary::start() {
    alive_ = std::make_shared<int>(0);
    schedule();
}

void Canary::stop() {
    alive_.reset();
    if (timer_ != 0) {
        environment_.loop.cancel(std::exchange(timer_, 0));
    }
}

void Canary::schedule() {
    timer_ = environment_.loop.schedule_after(options_.interval, [this] {
        timer_ = 0;
        step();
    });
}

template <typename Result>
absl::AnyInvocable<void(absl::StatusOr<Result>)> Canary::on_loop(
    std::function<void(absl::StatusOr<Result>)> then) {
    return [&loop = environment_.loop, alive = std::weak_ptr<int>(alive_), then = std::move(then)](
               absl::StatusOr<Result> result) mutable {
        loop.post([alive, then = std::move(then), result = std::move(result)]() mutable {
            if (!alive.expired()) {
                then(std::move(result));
            }
        });
    };
}

void Canary::step() {
    if (namespace_.empty()) {
        look_around();
        return;
    }
    look_at_clock();
    CanaryKey& key = key_of(turn_);
    turn_ = (turn_ + 1) % options_.partition_count;
    ++counts_.operations;
    switch (key.next_step(environment_.loop.now())) {
        case CanaryKey::Step::put:
            write(key, /*is_remove=*/false);
            return;
        case CanaryKey::Step::remove:
            write(key, /*is_remove=*/true);
            return;
        case CanaryKey::Step::read:
            read(key);
            return;
    }
}

void Canary::look_around() {
    environment_.admin.status(
        on_loop<StatusReport>([this](const absl::StatusOr<StatusReport>& report) {
            if (!report.ok()) {
                note_no_namespace(report.status().ToString());
                schedule();
                return;
            }
            if (report->members.size() < 2) {
                waiting_since_.reset();
                note_no_namespace("this node is alone in its cluster");
                schedule();
                return;
            }
            find_namespace(static_cast<uint32_t>(std::count_if(
                report->members.begin(), report->members.end(), [this](const MemberStatus& member) {
                    return member.node < self_ && member.liveness != "dead" &&
                           member.state != "left";
                })));
        }));
}

void Canary::find_namespace(uint32_t rank) {
    environment_.admin.list_namespaces(on_loop<std::vector<NamespaceInfo>>(
        [this, rank](const absl::StatusOr<std::vector<NamespaceInfo>>& all) {
            for (const NamespaceInfo& info : all.ok() ? *all : std::vector<NamespaceInfo>()) {
                if (info.name == canary_namespace) {
                    namespace_ = fmt::format("id:{:x}", info.id.raw());
                    replicas_ = info.replicas;
                }
            }
            if (!namespace_.empty()) {
                without_namespace_since_.reset();
                waiting_since_.reset();
                has_told_ = false;
                schedule();
                return;
            }
            if (!all.ok()) {
                note_no_namespace(all.status().ToString());
                schedule();
                return;
            }
            // Those before this one may have no canary.
            const base::MonotonicTime now = environment_.loop.now();
            if (now - waiting_since_.value_or(now) >= rank * options_.patience) {
                make_namespace();
                return;
            }
            waiting_since_ = waiting_since_.value_or(now);
            note_no_namespace("no member has made it");
            schedule();
        }));
}

void Canary::note_no_namespace(const std::string& why) {
    constexpr base::Duration told_after = std::chrono::minutes(1);
    const base::MonotonicTime now = environment_.loop.now();
    without_namespace_since_ = without_namespace_since_.value_or(now);
    if (has_told_ || now - *without_namespace_since_ < told_after || !environment_.log) {
        return;
    }
    has_told_ = true;
    environment_.log(
        "warning",
        fmt::format("canary: has not found the namespace {}: {}", canary_namespace, why));
}

void Canary::make_namespace() {
    NamespaceInfo wanted;
    wanted.name = canary_namespace;
    wanted.replicas = options_.replicas;
    wanted.read_quorum = options_.replicas / 2 + 1;
    wanted.write_quorum = options_.replicas / 2 + 1;
    environment_.admin.create_namespace(
        wanted, on_loop<NamespaceInfo>([this](const absl::StatusOr<NamespaceInfo>& made) {
            if (!made.ok()) {
                note_no_namespace(made.status().ToString());
            }
            schedule();
        }));
}

void Canary::look_at_clock() {
    const base::MonotonicTime now = environment_.loop.now();
    if (base::to_unix_ms(environment_.wall_clock.wall_now()) >= created_ms_) {
        behind_since_.reset();
        return;
    }
    behind_since_ = behind_since_.value_or(now);
    if (now - *behind_since_ <= options_.doubt) {
        return;
    }
    created_ms_ = 0;
    behind_since_.reset();
    for (const std::unique_ptr<CanaryKey>& key : keys_) {
        if (key != nullptr) {
            key->put_in_doubt(now);
        }
    }
}

CanaryKey& Canary::key_of(uint32_t partition) {
    std::unique_ptr<CanaryKey>& slot = keys_[partition];
    if (slot == nullptr) {
        std::string name;
        uint64_t number = 0;
        do {
            name = fmt::format("{}/{}/{}", base::to_string(self_), partition, number++);
        } while (ring::partition_of(name, options_.partition_count).raw() != partition);
        slot = std::make_unique<CanaryKey>(
            std::move(name), life_, options_.doubt, environment_.loop.now());
    }
    return *slot;
}

// Explicit quorums: whoever made the namespace may have given it weaker ones.
RequestOptions Canary::request_options() const {
    RequestOptions options;
    options.name_space = namespace_;
    options.quorum = replicas_ / 2 + 1;
    options.sloppy = false;
    return options;
}

void Canary::write(CanaryKey& key, bool is_remove) {
    const base::MonotonicTime now = environment_.loop.now();
    created_ms_ = std::max(created_ms_, base::to_unix_ms(environment_.wall_clock.wall_now()));
    PutRequest request;
    request.options = request_options();
    request.key = key.name();
    request.is_delete = is_remove;
    if (is_remove) {
        key.begin_remove(now);
    } else {
        request.value = key.begin_put(now);
    }
    request.request.created_ms = created_ms_;
    request.request.random_high = environment_.random.next_id();
    request.request.random_low = environment_.random.next_id();
    environment_.kv.put(std::move(request),
                        on_loop<PutResult>([this, &key](const absl::StatusOr<PutResult>& result) {
                            key.write_ended(result.ok(), environment_.loop.now());
                            note_failure(result.status());
                            schedule();
                        }));
}

void Canary::read(CanaryKey& key) {
    GetRequest request;
    request.options = request_options();
    request.key = key.name();
    environment_.kv.get(std::move(request),
                        on_loop<GetResult>([this, &key](const absl::StatusOr<GetResult>& result) {
                            note_read(key, result);
                            schedule();
                        }));
}

void Canary::note_read(CanaryKey& key, const absl::StatusOr<GetResult>& result) {
    if (!result.ok()) {
        key.read_failed();
        note_failure(result.status());
        return;
    }
    std::vector<std::string> values;
    for (const SiblingValue& sibling : result->values) {
        values.push_back(sibling.value);
    }
    const std::optional<BrokenPromise> broken = key.read_ended(values);
    if (!broken.has_value()) {
        return;
    }
    counts_.lost_writes += *broken == BrokenPromise::lost_write ? 1u : 0u;
    counts_.deleted_returned += *broken == BrokenPromise::deleted_returned ? 1u : 0u;
    counts_.stale_reads += *broken == BrokenPromise::stale_read ? 1u : 0u;
    tell(key, *broken, values);
}

void Canary::note_failure(const absl::Status& status) {
    if (status.ok()) {
        return;
    }
    ++counts_.failed;
    if (base::reason_of(status) == base::reason::unknown_namespace) {
        namespace_.clear();
        std::fill(keys_.begin(), keys_.end(), nullptr);
    }
}

void Canary::tell(const CanaryKey& key,
                  BrokenPromise promise,
                  const std::vector<std::string>& found) {
    if (environment_.log) {
        environment_.log(
            "error",
            fmt::format("canary: {}: key {} of namespace {}: expected {}, found {}",
                        name_of(promise),
                        key.name(),
                        canary_namespace,
                        key.expected(),
                        found.empty() ? "nothing" : fmt::format("{}", fmt::join(found, " and "))));
    }
}

}  // namespace starling::node
