#pragma once

// The one thread of the doors' own: it accepts connections and speaks HTTP. Requests of the public
// API never pass through it (gRPC has its threads).

#include <functional>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace starling::node {

class DoorLoop {
  public:
    DoorLoop();
    // Stops first.
    ~DoorLoop();
    DoorLoop(const DoorLoop&) = delete;
    DoorLoop& operator=(const DoorLoop&) = delete;

    // Ends the thread; what is still queued never runs. Not from the loop.
    void stop();

    boost::asio::io_context& context() { return context_; }
    bool in_loop() const { return std::this_thread::get_id() == thread_.get_id(); }

    // Any thread.
    template <typename Task>
    void post(Task&& task) {
        boost::asio::post(context_, std::forward<Task>(task));
    }
    // Runs `task` on the loop and waits for it. REQUIRES: the loop is not stopped. Not from the
    // loop.
    void run_and_wait(const std::function<void()>& task);

  private:
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::thread thread_;
};

}  // namespace starling::node
