#include "node/doors/address.h"

#include <charconv>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

#include "base/error.h"

namespace starling::node {

namespace {

absl::Status not_an_address(std::string_view text) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument,
        base::reason::invalid_request,
        fmt::format("'{}' is not an address: expected IP:PORT, like 127.0.0.1:4000 or [::1]:4000",
                    text));
}

}  // namespace

absl::StatusOr<boost::asio::ip::tcp::endpoint> parse_address(std::string_view text) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return not_an_address(text);
    }
    std::string_view host = text.substr(0, colon);
    const std::string_view port_text = text.substr(colon + 1);
    const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (is_bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    uint16_t port = 0;
    const auto [end, error] =
        std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    boost::system::error_code bad_host;
    const auto ip = boost::asio::ip::make_address(std::string(host), bad_host);
    if (error != std::errc() || end != port_text.data() + port_text.size() || bad_host ||
        ip.is_v6() != is_bracketed) {
        return not_an_address(text);
    }
    return boost::asio::ip::tcp::endpoint(ip, port);
}

std::string to_string(const boost::asio::ip::tcp::endpoint& endpoint) {
    const std::string host = endpoint.address().to_string();
    return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                      : fmt::format("{}:{}", host, endpoint.port());
}

}  // namespace starling::node
