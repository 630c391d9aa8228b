#include "env/posix/tcp_address.h"

#include <charconv>
#include <string>

#include <fmt/format.h>

namespace starling::env {
namespace {

namespace asio = boost::asio;

absl::Status not_an_address(const Address& address) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not an address: expected 127.0.0.1:4001 or [::1]:4001", address));
}

}  // namespace

absl::StatusOr<asio::ip::tcp::endpoint> parse_address(const Address& address) {
    const size_t colon = address.rfind(':');
    if (colon == Address::npos) {
        return not_an_address(address);
    }
    std::string host = address.substr(0, colon);
    const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (is_bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    uint16_t port = 0;
    const char* const end = address.data() + address.size();
    const auto [parsed, port_error] = std::from_chars(address.data() + colon + 1, end, port);
    boost::system::error_code error;
    const asio::ip::address ip = asio::ip::make_address(host, error);
    if (error || port_error != std::errc() || parsed != end || ip.is_v6() != is_bracketed) {
        return not_an_address(address);
    }
    return asio::ip::tcp::endpoint(ip, port);
}

Address to_address(const asio::ip::tcp::endpoint& endpoint) {
    const std::string ip = endpoint.address().to_string();
    return endpoint.address().is_v6() ? fmt::format("[{}]:{}", ip, endpoint.port())
                                      : fmt::format("{}:{}", ip, endpoint.port());
}

}  // namespace starling::env
