#include "node/doors/http_pages.h"

#include <utility>

#include <fmt/format.h>

#include "node/doors/metrics_text.h"
#include "node/doors/status_json.h"

namespace starling::node {

namespace {

using Answer = absl::AnyInvocable<void(HttpPage)>;

template <typename Render>
void ask_node(AdminService& admin, Answer answer, Render render) {
    admin.status([answer = std::move(answer),
                  render = std::move(render)](absl::StatusOr<StatusReport> report) mutable {
        if (report.ok()) {
            answer(render(*report));
            return;
        }
        answer(
            {.status = 503, .body = fmt::format("{}\n", std::string(report.status().message()))});
    });
}

}  // namespace

void make_page(std::string_view target,
               AdminService& admin,
               const DoorState& doors,
               Answer answer) {
    const std::string_view path = target.substr(0, target.find('?'));
    if (path == "/healthz") {
        answer({.body = "ok\n"});
    } else if (path == "/readyz") {
        const bool is_ready = doors.is_ready();
        answer({.status = is_ready ? 200u : 503u, .body = is_ready ? "ready\n" : "not ready\n"});
    } else if (path == "/metrics") {
        ask_node(admin, std::move(answer), [&doors](const StatusReport& report) {
            return HttpPage{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                            .body = to_metrics_text(report, doors)};
        });
    } else if (path == "/status") {
        ask_node(admin, std::move(answer), [](const StatusReport& report) {
            return HttpPage{.content_type = "application/json", .body = to_status_json(report)};
        });
    } else {
        answer({.status = 404, .body = "there are /metrics, /healthz, /readyz and /status\n"});
    }
}

}  // namespace starling::node
