#include "node/doors/door_loop.h"

#include <future>

namespace starling::node {

DoorLoop::DoorLoop() : work_(context_.get_executor()), thread_([this] { context_.run(); }) {}

DoorLoop::~DoorLoop() {
    stop();
}

void DoorLoop::stop() {
    context_.stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void DoorLoop::run_and_wait(const std::function<void()>& task) {
    std::promise<void> done;
    post([&task, &done] {
        task();
        done.set_value();
    });
    done.get_future().wait();
}

}  // namespace starling::node
