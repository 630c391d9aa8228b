#include <chrono>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "env/posix/loop.h"
#include "env/posix/random.h"
#include "env/posix/transport.h"
#include "env/posix/workers.h"
#include "tests/unit/env/runtime/rig.h"

namespace starling::env {
namespace {

// Tells waiting test threads that something has happened.
class Bell {
  public:
    void ring() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++rings_;
        changed_.notify_all();
    }

    bool wait_until(const std::function<bool()>& condition) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        for (;;) {
            const uint64_t seen = rings();
            if (condition()) {
                return true;
            }
            std::unique_lock<std::mutex> lock(mutex_);
            if (!changed_.wait_until(lock, deadline, [&] { return rings_ != seen; })) {
                return false;
            }
        }
    }

  private:
    uint64_t rings() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return rings_;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t rings_ = 0;
};

// A loop on a thread of its own.
class LoopThread {
  public:
    LoopThread() : thread_([this] { loop.run(); }) {}
    ~LoopThread() {
        loop.stop();
        thread_.join();
    }

    void run(absl::FunctionRef<void()> body) {
        std::mutex mutex;
        std::condition_variable changed;
        bool done = false;
        loop.post([&] {
            body();
            const std::lock_guard<std::mutex> lock(mutex);
            done = true;
            changed.notify_all();
        });
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return done; });
    }

    PosixLoop loop;

  private:
    std::thread thread_;
};

class PosixNode final : public TransportNode {
  public:
    PosixNode(Bell& bell, std::string secret) : bell_(bell), secret_(std::move(secret)) {
        start("127.0.0.1:0");
    }
    ~PosixNode() override { stop(); }

    void run(absl::FunctionRef<void()> body) override { thread_->run(body); }
    Transport& transport() override { return *transport_; }
    Address address() const override { return address_; }

    void restart() override {
        stop();
        start(address_);
    }

  private:
    void start(const Address& listen) {
        thread_ = std::make_unique<LoopThread>();
        thread_->run([&] {
            transport_ = std::make_unique<PosixTransport>(
                thread_->loop,
                random_,
                PosixTransport::Options{.listen = listen,
                                        .secret = secret_,
                                        .handshake_timeout = std::chrono::milliseconds(500)});
            transport_->set_handler([this](const Delivery& delivery) {
                received.add({delivery.connection, std::string(delivery.frame)});
                if (on_frame) {
                    on_frame(delivery);
                }
                bell_.ring();
            });
            const absl::Status started = transport_->start();
            EXPECT_TRUE(started.ok()) << started;
        });
        address_ = transport_->local_address();
    }

    void stop() {
        thread_->run([&] {
            transport_->stop();
            transport_.reset();
        });
        thread_.reset();
    }

    Bell& bell_;
    const std::string secret_;
    PosixRandom random_;
    std::unique_ptr<LoopThread> thread_;
    std::unique_ptr<PosixTransport> transport_;
    Address address_;
};

class PosixRig final : public Rig {
  public:
    ~PosixRig() override {
        if (workers_) {
            workers_->stop(PosixWorkers::Queued::drop);
        }
    }

    EventLoop& loop() override { return thread_.loop; }
    Workers& workers() override {
        if (!workers_) {
            workers_.emplace(2);
        }
        return *workers_;
    }
    void run(absl::FunctionRef<void()> body) override { thread_.run(body); }

    std::unique_ptr<TransportNode> make_node(const std::string& secret) override {
        return std::make_unique<PosixNode>(bell_, secret);
    }
    // A port that was free a moment ago.
    Address unused_address() override { return PosixNode(bell_, "gone").address(); }

    bool wait_until(const std::function<bool()>& condition) override {
        return bell_.wait_until(condition);
    }
    void changed() override { bell_.ring(); }

    // Long enough for what passes over loopback; only tests that expect nothing to happen need it.
    void settle() override {
        bool done = false;
        run([&] {
            thread_.loop.schedule_after(std::chrono::milliseconds(100), [&] {
                done = true;
                bell_.ring();
            });
        });
        bell_.wait_until([&] {
            bool is_done = false;
            run([&] { is_done = done; });
            return is_done;
        });
    }

  private:
    Bell bell_;
    LoopThread thread_;
    std::optional<PosixWorkers> workers_;
};

}  // namespace

std::unique_ptr<Rig> make_posix_rig() {
    return std::make_unique<PosixRig>();
}

}  // namespace starling::env
