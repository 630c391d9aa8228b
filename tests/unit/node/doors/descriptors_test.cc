// A process that has few file descriptors, against clients that open many connections. The doors
// run in a process of their own under `ulimit -n 256`.

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <grpcpp/create_channel.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/doors/address.h"
#include "starling/v1/admin.grpc.pb.h"

namespace starling::node {
namespace {

using boost::asio::ip::tcp;

// A child of `sh -c "ulimit -n 256; exec door_server CAP"`.
class DoorProcess {
  public:
    explicit DoorProcess(const std::string& connections_max) {
        std::array<int, 2> to_child{};
        std::array<int, 2> from_child{};
        EXPECT_EQ(::pipe(to_child.data()), 0);
        EXPECT_EQ(::pipe(from_child.data()), 0);
        const std::string command =
            "ulimit -n 256; exec " STARLING_DOOR_SERVER " " + connections_max;
        child_ = ::fork();
        if (child_ == 0) {
            ::dup2(to_child[0], STDIN_FILENO);
            ::dup2(from_child[1], STDOUT_FILENO);
            for (const int fd : {to_child[0], to_child[1], from_child[0], from_child[1]}) {
                ::close(fd);
            }
            ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::close(to_child[0]);
        ::close(from_child[1]);
        input_ = to_child[1];
        std::string line;
        char c = 0;
        while (::read(from_child[0], &c, 1) == 1 && c != '\n') {
            line.push_back(c);
        }
        ::close(from_child[0]);
        grpc_address = line.substr(0, line.find(' '));
        http_address = line.substr(line.find(' ') + 1);
    }
    // Its exit status. Ends it in order.
    int stop() {
        ::close(std::exchange(input_, -1));
        int status = 0;
        ::waitpid(std::exchange(child_, -1), &status, 0);
        return status;
    }
    ~DoorProcess() {
        if (child_ > 0) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
    }

    std::string grpc_address;
    std::string http_address;

  private:
    pid_t child_ = -1;
    int input_ = -1;
};

class DescriptorsTest : public testing::Test {
  protected:
    // A connection of its own, tried for up to 20 s.
    static bool is_answering(const std::string& address) {
        grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
        arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
        const auto stub = v1::Admin::NewStub(
            grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
        grpc::ClientContext context;
        context.set_wait_for_ready(true);
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        v1::PingResponse response;
        return stub->Ping(&context, {}, &response).ok() && response.message() == "PONG";
    }

    static std::string get(const std::string& address, const std::string& path) {
        boost::asio::io_context context;
        tcp::socket socket(context);
        boost::system::error_code error;
        socket.connect(*parse_address(address), error);
        const std::string request =
            "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        boost::asio::write(socket, boost::asio::buffer(request), error);
        std::string answer;
        boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
        return answer;
    }

    std::vector<tcp::socket> open(const std::string& address, size_t count) {
        std::vector<tcp::socket> sockets;
        for (size_t i = 0; i < count; ++i) {
            boost::system::error_code refused;
            sockets.emplace_back(context_).connect(*parse_address(address), refused);
        }
        return sockets;
    }

    // How many of `sockets` the other end has closed, once none has been closed for a while.
    static size_t closed_by_peer(std::vector<tcp::socket>& sockets) {
        size_t closed = 0;
        for (tcp::socket& socket : sockets) {
            pollfd poll{.fd = socket.native_handle(), .events = POLLRDHUP, .revents = 0};
            closed += ::poll(&poll, 1, 0) == 1 ? 1u : 0u;
        }
        return closed;
    }

    boost::asio::io_context context_;
};

TEST_F(DescriptorsTest, FourHundredConnectionsOpenedAndClosedLeaveTheDoorAnswering) {
    DoorProcess process("96");
    ASSERT_TRUE(is_answering(process.grpc_address));
    for (int round = 0; round < 3; ++round) {
        open(process.grpc_address, 400).clear();
        ASSERT_TRUE(is_answering(process.grpc_address));
    }
    EXPECT_EQ(process.stop(), 0);
}

TEST_F(DescriptorsTest, OfFourHundredHeldOpenTheExtraOnesAreClosedAndAnswersReturnWhenTheyEnd) {
    DoorProcess process("96");
    std::vector<tcp::socket> held = open(process.grpc_address, 400);
    // gRPC greets those it is given; the rest is closed.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (closed_by_peer(held) < 400 - 96 && std::chrono::steady_clock::now() < end) {
        ::usleep(10'000);
    }
    EXPECT_EQ(closed_by_peer(held), 400u - 96u);
    EXPECT_NE(get(process.http_address, "/healthz").find("200 OK"), std::string::npos)
        << "the other door has descriptors of its own";
    held.clear();
    EXPECT_TRUE(is_answering(process.grpc_address));
    EXPECT_EQ(process.stop(), 0);
}

// The cap is set higher than the limit allows: the reserved descriptor is all that stands.
TEST_F(DescriptorsTest, AProcessThatHasRunOutOfDescriptorsAnswersAgainWhenTheyReturn) {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "UBSan's vptr check opens a pipe to look at memory: it reports falsely in a "
                    "process without descriptors";
#endif
    DoorProcess process("10000");
    std::vector<tcp::socket> held = open(process.grpc_address, 400);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (closed_by_peer(held) < 145 && std::chrono::steady_clock::now() < end) {
        ::usleep(10'000);
    }
    EXPECT_GE(closed_by_peer(held), 145u);
    held.clear();
    EXPECT_TRUE(is_answering(process.grpc_address));
    EXPECT_EQ(process.stop(), 0);
}

}  // namespace
}  // namespace starling::node
