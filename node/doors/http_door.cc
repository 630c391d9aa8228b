#include "node/doors/http_door.h"

#include <chrono>
#include <set>
#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>

#include "node/doors/http_pages.h"

namespace starling::node {

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;

absl::StatusCode code_of(unsigned status) {
    if (status < 400) {
        return absl::StatusCode::kOk;
    }
    return status < 500 ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kUnavailable;
}

}  // namespace

// Shared: the callbacks of a node that answers after the door has stopped still find it.
class HttpDoor::Impl {
  public:
    class Session;

    Impl(HttpDoorOptions options, Parts parts) : options_(options), parts_(parts) {}

    const HttpDoorOptions options_;
    const Parts parts_;
    // Owned by the loop.
    std::set<Session*> sessions_;
    bool is_stopped_ = false;
};

// One connection. Each pending operation of Asio's shares it; the last one to end closes it. Loop
// thread only.
class HttpDoor::Impl::Session : public std::enable_shared_from_this<Session> {
  public:
    Session(std::shared_ptr<Impl> door, tcp::socket socket)
        : door_(std::move(door)),
          stream_(std::move(socket)),
          buffer_(size_t{2} * door_->options_.header_bytes_max),
          status_timer_(stream_.get_executor()) {
        door_->sessions_.insert(this);
    }
    ~Session() { door_->sessions_.erase(this); }

    void read() {
        parser_.emplace();
        parser_->header_limit(door_->options_.header_bytes_max);
        stream_.expires_after(is_first_ ? door_->options_.request_timeout
                                        : door_->options_.idle_timeout);
        is_first_ = false;
        http::async_read(stream_,
                         buffer_,
                         *parser_,
                         [self = shared_from_this()](const beast::error_code& error, size_t) {
                             self->on_read(error);
                         });
    }

    void close() {
        beast::error_code ignored;
        status_timer_.cancel();
        stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
        stream_.close();
    }

  private:
    void on_read(const beast::error_code& error) {
        started_ = std::chrono::steady_clock::now();
        if (!error) {
            begin_answer();
            return;
        }
        keep_alive_ = false;
        if (error == http::error::header_limit || error == http::error::buffer_overflow) {
            send({.status = 431, .body = "the request's header is too large\n"});
        } else if (error == http::error::unexpected_body || error == http::error::body_limit) {
            send({.status = 413, .body = "a request here has no body\n"});
        } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
                   error != http::error::end_of_stream && error != http::error::partial_message) {
            send({.status = 400, .body = "not an HTTP request\n"});
        } else {
            close();
        }
    }

    void begin_answer() {
        const auto& request = parser_->get();
        keep_alive_ = request.keep_alive();
        version_ = request.version();
        if (request.method() != http::verb::get) {
            send({.status = 405, .body = "only GET is answered here\n"});
            return;
        }
        await_page(std::string(request.target()));
    }

    // The node may be slow, or never answer; whichever of answer and timer comes second finds the
    // turn passed.
    void await_page(const std::string& target) {
        const uint64_t turn = ++turn_;
        status_timer_.expires_after(door_->options_.status_timeout);
        status_timer_.async_wait([self = shared_from_this(), turn](const beast::error_code& error) {
            if (!error) {
                self->on_page(turn, {.status = 503, .body = "the node did not answer in time\n"});
            }
        });
        make_page(target,
                  door_->parts_.admin,
                  door_->parts_.state,
                  [self = weak_from_this(), door = door_, turn](HttpPage page) mutable {
                      door->parts_.loop.post(
                          [self = std::move(self), turn, page = std::move(page)]() mutable {
                              if (const auto session = self.lock()) {
                                  session->on_page(turn, std::move(page));
                              }
                          });
                  });
    }

    void on_page(uint64_t turn, HttpPage page) {
        if (turn == turn_ && stream_.socket().is_open()) {
            ++turn_;
            status_timer_.cancel();
            send(std::move(page));
        }
    }

    void send(HttpPage page) {
        door_->parts_.metrics.record(
            Method::http, code_of(page.status), std::chrono::steady_clock::now() - started_);
        response_ = {};
        response_.version(version_);
        response_.result(page.status);
        response_.set(http::field::content_type, page.content_type);
        response_.set(http::field::cache_control, "no-store");
        response_.set("X-Content-Type-Options", "nosniff");
        if (page.status == 405) {
            response_.set(http::field::allow, "GET");
        }
        response_.keep_alive(keep_alive_);
        response_.body() = std::move(page.body);
        response_.prepare_payload();
        stream_.expires_after(door_->options_.answer_timeout);
        http::async_write(stream_,
                          response_,
                          [self = shared_from_this()](const beast::error_code& error, size_t) {
                              if (error || !self->keep_alive_ || self->door_->is_stopped_) {
                                  self->close();
                              } else {
                                  self->read();
                              }
                          });
    }

    const std::shared_ptr<Impl> door_;
    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    boost::asio::steady_timer status_timer_;
    std::optional<http::request_parser<http::empty_body>> parser_;
    http::response<http::string_body> response_;
    std::chrono::steady_clock::time_point started_;
    uint64_t turn_ = 0;
    unsigned version_ = 11;
    bool keep_alive_ = false;
    bool is_first_ = true;
};

HttpDoor::HttpDoor(HttpDoorOptions options, Parts parts)
    : impl_(std::make_shared<Impl>(options, parts)) {
    parts.listener.start([impl = impl_](int fd) {
        sockaddr_storage address{};
        socklen_t length = sizeof address;
        const bool is_v6 = ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
                           address.ss_family == AF_INET6;
        tcp::socket socket(impl->parts_.loop.context());
        beast::error_code error;
        socket.assign(is_v6 ? tcp::v6() : tcp::v4(), fd, error);
        if (error) {
            ::close(fd);
            return;
        }
        std::make_shared<Impl::Session>(impl, std::move(socket))->read();
    });
}

HttpDoor::~HttpDoor() {
    stop();
}

void HttpDoor::stop() {
    impl_->parts_.listener.stop();
    impl_->parts_.loop.run_and_wait([this] {
        impl_->is_stopped_ = true;
        const std::set<Impl::Session*> sessions = impl_->sessions_;
        for (Impl::Session* session : sessions) {
            session->close();
        }
    });
    // The operations that the close cancelled have ended once this has run.
    impl_->parts_.loop.run_and_wait([] {});
}

}  // namespace starling::node
