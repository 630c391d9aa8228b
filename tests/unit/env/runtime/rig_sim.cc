#include <chrono>

#include <fmt/format.h>

#include "env/sim/loop.h"
#include "env/sim/network.h"
#include "env/sim/transport.h"
#include "env/sim/workers.h"
#include "tests/unit/env/runtime/rig.h"

namespace starling::env {
namespace {

class SimNode final : public TransportNode {
  public:
    SimNode(SimNetwork& network, const Address& address, std::string secret)
        : network_(network),
          secret_(std::move(secret)),
          process_(network.scheduler(), address, SimRandom(1).fork(address)) {
        start();
    }

    void run(absl::FunctionRef<void()> body) override { loop_->run_here(body); }
    Transport& transport() override { return *transport_; }
    Address address() const override { return process_.name(); }

    void restart() override {
        process_.crash();
        transport_.reset();
        loop_.reset();
        process_.restart();
        start();
    }

  private:
    void start() {
        loop_ = std::make_unique<SimLoop>(process_);
        transport_ = std::make_unique<SimTransport>(
            network_, *loop_, process_.name(), SimTransport::Options{.secret = secret_});
        transport_->set_handler([this](const Delivery& delivery) {
            received.add({delivery.connection, std::string(delivery.frame)});
            if (on_frame) {
                on_frame(delivery);
            }
        });
    }

    SimNetwork& network_;
    const std::string secret_;
    SimProcess process_;
    std::unique_ptr<SimLoop> loop_;
    std::unique_ptr<SimTransport> transport_;
};

class SimRig final : public Rig {
  public:
    EventLoop& loop() override { return loop_; }
    Workers& workers() override { return workers_; }
    void run(absl::FunctionRef<void()> body) override { loop_.run_here(body); }

    std::unique_ptr<TransportNode> make_node(const std::string& secret) override {
        return std::make_unique<SimNode>(network_, unused_address(), secret);
    }
    Address unused_address() override { return fmt::format("10.0.0.{}:4001", ++last_address_); }

    bool wait_until(const std::function<bool()>& condition) override {
        const SimTime deadline = scheduler_.now() + std::chrono::minutes(1);
        while (!condition()) {
            if (scheduler_.now() > deadline || !scheduler_.run_one()) {
                return condition();
            }
        }
        return true;
    }
    void changed() override {}
    void settle() override { scheduler_.run_for(std::chrono::seconds(10)); }

  private:
    SimScheduler scheduler_;
    SimNetwork network_{scheduler_, SimRandom(1)};
    SimProcess process_{scheduler_, "rig", SimRandom(1)};
    SimLoop loop_{process_};
    SimWorkers workers_{process_};
    int last_address_ = 0;
};

}  // namespace

std::unique_ptr<Rig> make_sim_rig() {
    return std::make_unique<SimRig>();
}

}  // namespace starling::env
