#pragma once

// What all requests of one client share. It outlives them: the client waits for their end.

#include "absl/synchronization/mutex.h"

#include "base/ids.h"
#include "client/endpoints.h"
#include "client/in_flight.h"
#include "client/options.h"
#include "client/session_marks.h"
#include "env/random.h"

namespace starling::client {

// A source of random numbers for several threads.
class LockedRandom final : public env::Random {
  public:
    explicit LockedRandom(env::Random& random) : random_(random) {}

    uint64_t next() override {
        absl::MutexLock lock(&mutex_);
        return random_.next();
    }

  private:
    absl::Mutex mutex_;
    env::Random& random_ ABSL_GUARDED_BY(mutex_);
};

struct Core {
    Core(ClientOptions client_options, const ClientEnvironment& environment)
        : options(std::move(client_options)),
          clock(environment.clock),
          wall_clock(environment.wall_clock),
          random(environment.random),
          endpoints(options, clock),
          in_flight(options.requests_max),
          session(options.session_keys_max) {}

    base::RequestId draw_request_id() {
        return {.created_ms = base::to_unix_ms(wall_clock.wall_now()),
                .random_high = random.next_id(),
                .random_low = random.next_id()};
    }

    const ClientOptions options;
    const env::Clock& clock;
    const env::WallClock& wall_clock;
    LockedRandom random;
    Endpoints endpoints;
    InFlight in_flight;
    // Unused without options.read_your_writes.
    SessionMarks session;
};

}  // namespace starling::client
