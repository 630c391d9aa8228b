#pragma once

// What the conformance tests run on: the same test drives real loops on threads of their own or
// simulated ones. The test thread touches a loop's state through run() only.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

#include "env/event_loop.h"
#include "env/transport.h"

namespace starling::env {

// A list that a loop or worker appends to and the test reads.
template <typename T>
class Inbox {
  public:
    void add(T item) {
        const std::lock_guard<std::mutex> lock(mutex_);
        items_.push_back(std::move(item));
    }
    std::vector<T> items() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return items_;
    }
    size_t size() const { return items().size(); }

  private:
    mutable std::mutex mutex_;
    std::vector<T> items_;
};

struct ReceivedFrame {
    ConnectionId connection = 0;
    std::string frame;
};

// One node's transport on a loop of its own; start() begins another life at the same address.
class TransportNode {
  public:
    virtual ~TransportNode() = default;
    // Runs `body` on the node's loop and returns when it has run.
    virtual void run(absl::FunctionRef<void()> body) = 0;
    // REQUIRES: inside run(), or the handler.
    virtual Transport& transport() = 0;
    virtual Address address() const = 0;
    // Ends this life without a farewell and begins the next.
    virtual void restart() = 0;

    // Sees each frame after it was put into the inbox. Set before the first frame.
    std::function<void(const Delivery&)> on_frame;
    Inbox<ReceivedFrame> received;
};

class Rig {
  public:
    virtual ~Rig() = default;

    virtual EventLoop& loop() = 0;
    virtual Workers& workers() = 0;
    virtual void run(absl::FunctionRef<void()> body) = 0;

    virtual std::unique_ptr<TransportNode> make_node(const std::string& secret) = 0;
    // An address at which nobody listens.
    virtual Address unused_address() = 0;

    // Until `condition` holds; false when it takes too long. Tests call changed() whenever
    // something that a condition may look at has changed.
    virtual bool wait_until(const std::function<bool()>& condition) = 0;
    virtual void changed() = 0;
    // Lets everything happen that is going to happen soon.
    virtual void settle() = 0;
};

std::unique_ptr<Rig> make_posix_rig();
std::unique_ptr<Rig> make_sim_rig();

struct RigKind {
    const char* name;
    std::unique_ptr<Rig> (*make)();
};

inline constexpr RigKind rig_kinds[] = {{"posix", make_posix_rig}, {"sim", make_sim_rig}};

}  // namespace starling::env
