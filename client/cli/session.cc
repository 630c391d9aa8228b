#include "client/cli/session.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "client/cli/dev_folder.h"
#include "client/cli/exit_codes.h"

namespace starling::client {

absl::StatusOr<std::vector<std::string>> Session::addresses() {
    if (!arguments_.addresses.empty()) {
        return arguments_.addresses;
    }
    if (arguments_.port.has_value()) {
        return std::vector{fmt::format("127.0.0.1:{}", *arguments_.port)};
    }
    const auto cluster = read_dev_cluster(dev_folder_path(terminal_, arguments_));
    if (absl::IsNotFound(cluster.status())) {
        return std::vector{std::string(default_address)};
    }
    STARLING_RETURN_IF_ERROR(cluster.status());
    std::vector<std::string> all;
    for (uint32_t node = 1; node <= cluster->node_count; ++node) {
        all.push_back(cluster->client_address(node));
    }
    return all;
}

absl::StatusOr<ClientOptions> Session::options() {
    ClientOptions options;
    STARLING_ASSIGN_OR_RETURN(options.endpoints, addresses());
    options.deadline = arguments_.timeout;
    if (arguments_.is_timeout_given) {
        options.retry.try_timeout = std::max(options.retry.try_timeout, arguments_.timeout / 3);
    } else {
        // Who types a command rather reads soon what is wrong.
        options.retry.tries_max =
            std::max<uint32_t>(4, 2 * static_cast<uint32_t>(options.endpoints.size()));
    }
    return options;
}

absl::StatusOr<std::unique_ptr<Client>> Session::client() {
    const std::string& file = arguments_.session_file;
    STARLING_ASSIGN_OR_RETURN(ClientOptions wanted, options());
    wanted.read_your_writes = !file.empty();
    STARLING_ASSIGN_OR_RETURN(std::unique_ptr<Client> client,
                              Client::make(std::move(wanted), environment()));
    if (!file.empty()) {
        session_file_.emplace(files_, file);
        STARLING_RETURN_IF_ERROR(session_file_->load(*client));
    }
    return client;
}

int Session::keep(const Client& client, int code) {
    if (!session_file_.has_value()) {
        return code;
    }
    if (const absl::Status saved = session_file_->save(client); !saved.ok()) {
        terminal_.out.flush();
        const int not_saved = report(terminal_,
                                     base::make_error(saved.code(),
                                                      reason_session_not_saved,
                                                      fmt::format("the session was not saved: {}",
                                                                  std::string(saved.message()))));
        return code == exit_ok ? not_saved : code;
    }
    if (session_file_->has_forgotten()) {
        terminal_.err << fmt::format(
            "starling: {} has no room for more keys: what it knew of the keys that were not used "
            "for the longest is forgotten, and reads of them may be older than before\n",
            arguments_.session_file);
    }
    return code;
}

absl::StatusOr<std::unique_ptr<AdminClient>> Session::admin() {
    STARLING_ASSIGN_OR_RETURN(ClientOptions wanted, options());
    return AdminClient::make(std::move(wanted), environment());
}

absl::StatusOr<std::unique_ptr<AdminClient>> Session::admin_of(const std::string& address,
                                                               base::Duration try_timeout,
                                                               uint32_t tries_max) {
    ClientOptions options;
    options.endpoints = {address};
    options.retry.tries_max = tries_max;
    options.retry.try_timeout = try_timeout;
    options.deadline = tries_max * (try_timeout + options.retry.backoff_max);
    return AdminClient::make(std::move(options), environment());
}

}  // namespace starling::client
