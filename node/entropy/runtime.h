#pragma once

// What the parts of one shard's anti-entropy share.

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/ids.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/entropy/entropy_options.h"
#include "node/replica/group_access.h"
#include "starling/peer/entropy.pb.h"

namespace starling::node {

class Exchange;

class EntropyHost {
  public:
    // May be lost. Never delivers to this node itself before it returns.
    virtual void send(base::NodeId to, peer::EntropyMessage message) = 0;
    // This node has seen every write of the group that `peer` had seen `ago`.
    virtual void caught_up_with(GroupId /*group*/, base::NodeId /*peer*/, base::Duration /*ago*/) {}

  protected:
    ~EntropyHost() = default;
};

struct EntropyRuntime {
    EntropyOptions options;
    EntropyHost& host;
    GroupAccess& groups;
    env::EventLoop& loop;
    env::Random& random;
    EntropyCounters counters{};
    // Questions that wait for an answer, by session.
    std::map<uint64_t, Exchange*> exchanges{};
};

// Lets a callback that outlives its object do nothing.
class Lifeline {
  public:
    template <typename Function>
    auto guard(Function function) const {
        return [alive = std::weak_ptr<int>(alive_),
                function = std::move(function)](auto&&... arguments) mutable {
            if (!alive.expired()) {
                function(std::forward<decltype(arguments)>(arguments)...);
            }
        };
    }

  private:
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace starling::node
