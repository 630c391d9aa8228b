#pragma once

// Reads through all that a shard has on its disk, again and again, so that what has rotted there is
// met while the other holders still have it, and not when one of them is lost, too. What it meets
// the engine remembers, and DamageHealer gives up and refills.
//
// After each step it rests for as long as the step may take of the period in which everything is to
// be read once. While clients wait it rests up to twice as long, so everything is read once in two
// periods at the latest, but for the time in which the disk is searched for damage anyway. Each
// life of an lsm engine begins at another place.
//
// Owned by the shard's loop.

#include <chrono>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

#include "base/time.h"
#include "env/event_loop.h"
#include "node/replica/jobs.h"
#include "storage/engine.h"

namespace starling::node {

class Scrubber {
  public:
    static constexpr uint64_t step_bytes = 256 << 10;
    // However little there is to read.
    static constexpr base::Duration rest_max = std::chrono::minutes(10);
    static constexpr base::Duration put_off = std::chrono::seconds(1);

    class Host {
      public:
        // For damage, which reads all of it.
        virtual bool is_disk_being_searched() const = 0;
        virtual bool do_clients_wait() = 0;
        virtual void log(std::string_view severity, std::string_view line) = 0;

      protected:
        ~Host() = default;
    };
    struct Counts {
        uint64_t bytes = 0;
        uint64_t rounds = 0;
        // Steps that met damage, or an error of the disk.
        uint64_t failed = 0;
    };

    // Borrows all but the period.
    Scrubber(Host& host,
             storage::Engine& engine,
             env::EventLoop& loop,
             env::Workers& workers,
             base::Duration period);
    ~Scrubber() { stop(); }
    Scrubber(const Scrubber&) = delete;
    Scrubber& operator=(const Scrubber&) = delete;

    void start() { rest(step_bytes); }
    void stop();
    bool is_idle() const { return jobs_.open() == 0; }

    const Counts& counts() const { return counts_; }

  private:
    // For as long as so many bytes may take.
    void rest(uint64_t bytes);
    void arm_timer(base::Duration delay);
    void tick();
    void done(const absl::StatusOr<storage::ScrubStep>& step);

    Host& host_;
    storage::Engine& engine_;
    env::EventLoop& loop_;
    const base::Duration period_;
    Jobs jobs_;
    Counts counts_;
    // What failed in this round is in the log.
    bool is_reported_ = false;
    // The step that is due is not put off any more from then on.
    base::MonotonicTime put_off_until_{};
    env::TimerId timer_ = 0;
    bool is_stopped_ = false;
};

}  // namespace starling::node
