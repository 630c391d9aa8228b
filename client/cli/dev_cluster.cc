#include "client/cli/dev_cluster.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "client/cli/dev_process.h"
#include "client/cli/pause.h"

namespace starling::client {

namespace {

constexpr base::Duration look_interval = std::chrono::milliseconds(50);
constexpr base::Duration question_timeout = std::chrono::seconds(2);

}  // namespace

int64_t DevNodes::pid(uint32_t node) {
    const auto pid = read_pid(files_, cluster_, node);
    return pid.has_value() && runs_as_node(*pid, cluster_.config_path(node)) ? *pid : 0;
}

bool DevNodes::runs(uint32_t node) {
    return pid(node) != 0;
}

absl::Status DevNodes::start(uint32_t node, const std::string& starlingd) {
    STARLING_ASSIGN_OR_RETURN(
        const int64_t pid,
        spawn_node(starlingd, cluster_.config_path(node), cluster_.log_path(node)));
    return write_pid(files_, cluster_, node, pid);
}

absl::StatusOr<v1::StatusResponse> DevNodes::status(uint32_t node) {
    STARLING_ASSIGN_OR_RETURN(
        const auto admin, session_.admin_of(cluster_.client_address(node), question_timeout, 1));
    return admin->status();
}

absl::Status DevNodes::wait_until_serving(uint32_t node, base::Duration timeout) {
    const base::MonotonicTime give_up_at = session_.clock().now() + timeout;
    for (;;) {
        if (const auto pid = read_pid(files_, cluster_, node); pid.has_value()) {
            reap(*pid);
        }
        if (!runs(node)) {
            return absl::UnavailableError(
                fmt::format("node {} ended: {}", node, last_words(files_, cluster_, node)));
        }
        const auto admin = session_.admin_of(cluster_.client_address(node), question_timeout, 1);
        const auto answer = admin.ok() ? (*admin)->ping() : admin.status();
        if (answer.ok() && answer->is_ready()) {
            return absl::OkStatus();
        }
        if (session_.clock().now() >= give_up_at) {
            return absl::DeadlineExceededError(
                fmt::format("node {} does not serve yet; see {}", node, cluster_.log_path(node)));
        }
        pause(look_interval);
    }
}

absl::Status DevNodes::join(uint32_t node) {
    STARLING_ASSIGN_OR_RETURN(const v1::StatusResponse own, status(node));
    if (own.members_size() > 1) {
        return absl::OkStatus();
    }
    STARLING_ASSIGN_OR_RETURN(
        const auto admin,
        session_.admin_of(cluster_.client_address(node), std::chrono::seconds(30), 1));
    const absl::Status joined = admin->join(cluster_.peer_address(1)).status();
    return base::reason_of(joined) == base::reason::already_member ? absl::OkStatus() : joined;
}

std::string DevNodes::missing() {
    for (uint32_t node = 1; node <= cluster_.node_count; ++node) {
        const auto answer = status(node);
        if (!answer.ok()) {
            return fmt::format("node {} does not answer", node);
        }
        const auto alive = std::count_if(
            answer->members().begin(), answer->members().end(), [](const v1::Member& member) {
                return member.liveness() == "alive" && member.seats_held() > 0;
            });
        if (alive != cluster_.node_count) {
            return fmt::format(
                "node {} sees {} of {} nodes hold data", node, alive, cluster_.node_count);
        }
        if (answer->copies_min() < std::min(answer->seat_count(), cluster_.node_count)) {
            return fmt::format("some partitions have {} copies", answer->copies_min());
        }
        if (answer->seats_filling() > 0) {
            return fmt::format("node {} is being filled", node);
        }
    }
    return "";
}

absl::Status DevNodes::wait_until_placed(base::Duration timeout) {
    const base::MonotonicTime give_up_at = session_.clock().now() + timeout;
    for (;;) {
        const std::string what = missing();
        if (what.empty()) {
            return absl::OkStatus();
        }
        if (session_.clock().now() >= give_up_at) {
            return absl::DeadlineExceededError(fmt::format("not placed in time: {}", what));
        }
        pause(look_interval);
    }
}

absl::Status DevNodes::signal(uint32_t node, int signal) {
    const int64_t process = pid(node);
    return process == 0 ? absl::OkStatus() : send_signal(process, signal);
}

bool DevNodes::wait_until_ended(uint32_t node, base::Duration timeout) {
    const base::MonotonicTime give_up_at = session_.clock().now() + timeout;
    while (runs(node)) {
        if (session_.clock().now() >= give_up_at) {
            return false;
        }
        pause(look_interval);
    }
    return true;
}

}  // namespace starling::client
