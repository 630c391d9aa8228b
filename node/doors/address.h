#pragma once

// "host:port" with an IPv4 or a bracketed IPv6 literal, as everywhere in Starling. Names are not
// resolved: a listening address must mean the same at each start.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include <boost/asio/ip/tcp.hpp>

namespace starling::node {

// invalid_argument, naming what was expected.
absl::StatusOr<boost::asio::ip::tcp::endpoint> parse_address(std::string_view text);
std::string to_string(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace starling::node
