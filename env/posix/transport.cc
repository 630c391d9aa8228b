#include "env/posix/transport.h"

#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "env/posix/tcp_address.h"
#include "env/posix/transport_core.h"

namespace starling::env {
namespace {

// The advertised address, with the real port in the place of a 0.
absl::StatusOr<Address> advertised(const Address& wanted, const Address& bound) {
    if (wanted.empty()) {
        return bound;
    }
    STARLING_ASSIGN_OR_RETURN(boost::asio::ip::tcp::endpoint endpoint, parse_address(wanted));
    if (endpoint.port() == 0) {
        STARLING_ASSIGN_OR_RETURN(const auto real, parse_address(bound));
        endpoint.port(real.port());
    }
    return to_address(endpoint);
}

}  // namespace

PosixTransport::PosixTransport(PosixLoop& loop, Random& random, Options options)
    : core_(std::make_shared<Core>(loop, random, options)),
      local_address_(std::move(options.advertise)) {}

PosixTransport::~PosixTransport() {
    STARLING_CHECK_MSG(!core_->is_started(), "a transport destroyed before it was stopped");
    core_->stop();
}

absl::Status PosixTransport::start() {
    STARLING_ASSIGN_OR_RETURN(const Address bound, core_->start());
    absl::StatusOr<Address> address = advertised(local_address_, bound);
    if (!address.ok()) {
        core_->stop();
        return address.status();
    }
    local_address_ = *std::move(address);
    return absl::OkStatus();
}

void PosixTransport::stop() {
    core_->stop();
}

void PosixTransport::set_handler(Handler handler) {
    core_->set_handler(std::move(handler));
}

absl::Status PosixTransport::send(const Address& to, std::string frame) {
    return core_->send(to, std::move(frame));
}

absl::Status PosixTransport::reply(ConnectionId connection, std::string frame) {
    return core_->reply(connection, std::move(frame));
}

absl::Status PosixTransport::peer_status(const Address& to) const {
    return core_->peer_status(to);
}

PosixTransportStats PosixTransport::stats() const {
    return core_->stats();
}

}  // namespace starling::env
