#pragma once

// Between the project's addresses and Asio's. Names are not resolved: an address is a literal.

#include <utility>

#include "absl/status/statusor.h"
#include <boost/asio/ip/tcp.hpp>

#include "env/transport.h"

namespace starling::env {

// invalid_argument: not "1.2.3.4:5" or "[::1]:5".
absl::StatusOr<boost::asio::ip::tcp::endpoint> parse_address(const Address& address);

Address to_address(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace starling::env
