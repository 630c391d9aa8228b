#include "env/sim/transport.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace starling::env {
namespace {

bool is_address(const Address& address) {
    const size_t colon = address.rfind(':');
    if (colon == Address::npos || colon == 0 || colon + 1 == address.size()) {
        return false;
    }
    return std::all_of(address.begin() + static_cast<std::ptrdiff_t>(colon) + 1,
                       address.end(),
                       [](char c) { return c >= '0' && c <= '9'; });
}

absl::Status check_frame_size(const std::string& frame) {
    if (frame.size() > frame_bytes_max) {
        return absl::InvalidArgumentError(
            fmt::format("a frame of {} bytes; the most is {}", frame.size(), frame_bytes_max));
    }
    return absl::OkStatus();
}

}  // namespace

SimTransport::SimTransport(SimNetwork& network, SimLoop& loop, Address address, Options options)
    : network_(network), loop_(loop), address_(std::move(address)), options_(std::move(options)) {
    STARLING_CHECK_MSG(is_address(address_), address_);
    index_ = network_.index_of(address_);
    serial_ = network_.attach(*this);
}

SimTransport::~SimTransport() {
    network_.detach(*this);
}

absl::Status SimTransport::send(const Address& to, std::string frame) {
    STARLING_CHECK_MSG(loop_.is_open_to_caller(), "a frame sent from outside the transport's loop");
    if (!is_address(to)) {
        return absl::InvalidArgumentError(fmt::format("'{}' is not host:port", to));
    }
    if (absl::Status size = check_frame_size(frame); !size.ok()) {
        return size;
    }
    return is_living() ? network_.send(*this, to, std::move(frame)) : absl::OkStatus();
}

absl::Status SimTransport::reply(ConnectionId connection, std::string frame) {
    STARLING_CHECK_MSG(loop_.is_open_to_caller(), "a frame sent from outside the transport's loop");
    if (absl::Status size = check_frame_size(frame); !size.ok()) {
        return size;
    }
    return is_living() ? network_.reply(*this, connection, std::move(frame)) : absl::OkStatus();
}

absl::Status SimTransport::peer_status(const Address& to) const {
    const auto error = errors_.find(network_.index_of(to));
    return error == errors_.end() ? absl::OkStatus() : error->second;
}

}  // namespace starling::env
