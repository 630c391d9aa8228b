#pragma once

// One simulated machine: process, clocks, disk and address, which live on through crashes, and the
// real node of the present life.
//
// States: down -> (start) up -> (crash) down. A crash may come between events, or from inside the
// node's own file operation: then the process is dead at once, and its objects are buried when that
// event has ended.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "env/sim/clock.h"
#include "env/sim/file_system.h"
#include "env/sim/loop.h"
#include "env/sim/network.h"
#include "env/sim/process.h"
#include "env/sim/transport.h"
#include "env/sim/workers.h"
#include "node/server/node.h"
#include "tests/sim/file_damage.h"
#include "tests/sim/frame_tap.h"
#include "tests/sim/options.h"
#include "tests/sim/trace.h"

namespace starling::sim {

class Machine {
  public:
    struct World {
        env::SimScheduler& scheduler;
        env::SimNetwork& network;
        const env::SimRandom& random;
        Trace& trace;
        const RunOptions& options;
        // True time of day at the start of the run.
        base::WallTime started;
    };
    struct Listener {
        // The machine died by itself, inside a file operation.
        std::function<void(Machine&)> died;
        // Its node wants another life.
        std::function<void(Machine&)> wants_new_life;
        // The canary of its node says that a promise was broken.
        std::function<void(Machine&, std::string_view what)> canary_accuses;
    };

    Machine(World world, uint32_t number, Listener listener);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    static constexpr std::string_view data_directory = "/data";

    // REQUIRES: down. The node's error, or a crash in recovery (is_up() is false then).
    absl::Status start() { return start(world_.options.node); }
    absl::Status start(const node::NodeOptions& options);
    // REQUIRES: up. Not from the node's own event.
    void crash(env::CrashMode mode);
    // Dies before the n-th operation on files from now, in this life or during the next start.
    void die_at_io(uint64_t n, env::CrashMode mode);
    void forget_death() { io_until_death_ = 0; }
    // Ends, once its node has stopped; how many files are open when the node is gone. None when it
    // died instead of ending. REQUIRES: up.
    std::optional<uint64_t> exit();

    // Timers that are set from now on are on time.
    void keep_time();
    // From the next start on its node has none, whatever the options say.
    void turn_canary_off() { canary_is_off_ = true; }
    // In this life.
    bool has_canary() const { return life_ != nullptr && life_->has_canary; }
    // On average, up to 10 s; zero: at once.
    void set_sync_time(base::Duration mean) { sync_time_mean_ = mean; }

    // Until it is repaired. REQUIRES: not damaged; down, where that takes a whole file.
    void damage(FileDamage damage);
    // REQUIRES: as damage().
    void repair();
    // That one, unless another has come since.
    void repair(const FileDamage& damage) {
        if (damage_ == damage) repair();
    }
    bool is_damaged() const { return damage_.has_value(); }
    // For good: the node is to give up what was there. REQUIRES: as damage(), or healed().
    void rot(FileDamage damage);
    // The node makes nothing any more of the table that has rotted.
    bool is_healed() const;
    bool has_rotted() const { return has_rotted_; }
    // Its disk is what it was when the copy was made. REQUIRES: down.
    void set_back(const env::SimFileSystem& copy);
    // Until its node has again what it had told others.
    bool is_set_back() const { return is_set_back_; }
    void caught_up() { is_set_back_ = false; }
    // Its disk was not always what it should be; hints may be gone.
    bool has_lost_data() const { return has_rotted_ || was_set_back_; }
    // The last time; negative: never.
    env::SimTime lost_data_at() const { return lost_data_at_; }
    // In a copy of the disk. The file may be gone.
    void repair(env::SimFileSystem& disk) const;

    void pause() { process_.pause(); }
    void resume();
    // The last time; negative: never.
    env::SimTime resumed_at() const { return resumed_at_; }

    bool is_up() const { return life_ != nullptr && process_.is_alive(); }
    bool is_paused() const { return process_.is_paused(); }
    // REQUIRES: up.
    node::Node& node() { return *life_->node; }

    uint32_t number() const { return number_; }
    const std::string& name() const { return process_.name(); }
    const env::Address& address() const { return address_; }
    const std::string& zone() const { return zone_; }
    env::SimProcess& process() { return process_; }
    env::SimWallClock& wall_clock() { return wall_clock_; }
    env::SimFileSystem& files() { return files_; }
    env::SimWorkers& workers() { return *life_->workers; }

    // False when its node is being stopped already. REQUIRES: up.
    bool begin_stop() { return !std::exchange(life_->is_stopping, true); }
    // Runs `body` on the node's first loop, as one event of this process, held back by a pause and
    // dropped by a crash. REQUIRES: up.
    void post(env::Task body) { life_->loops.front()->post(std::move(body)); }

    uint64_t lives() const { return process_.life(); }

  private:
    struct Life {
        std::vector<std::unique_ptr<env::SimLoop>> loops;
        std::unique_ptr<env::SimWorkers> workers;
        std::unique_ptr<env::SimTransport> transport;
        std::unique_ptr<FrameTap> tap;
        env::SimRandom random;
        std::unique_ptr<node::Node> node;
        bool is_stopping = false;
        bool has_canary = false;
    };

    void make_life(const node::NodeOptions& options);
    absl::Status watch_io(env::FileOperation operation, const std::string& path);
    void bury();

    const World world_;
    const uint32_t number_;
    const Listener listener_;
    const env::Address address_;
    const std::string zone_;
    env::SimRandom random_;
    env::SimProcess process_;
    env::SimWallClock wall_clock_;
    env::SimFileSystem files_;
    std::optional<FileDamage> damage_;
    bool has_rotted_ = false;
    bool is_set_back_ = false;
    bool was_set_back_ = false;
    env::SimTime lost_data_at_{-1};
    env::SimTime resumed_at_{-1};
    // 0: never.
    uint64_t io_until_death_ = 0;
    env::CrashMode death_mode_ = env::CrashMode::lost;
    env::SimRandom sync_random_;
    base::Duration sync_time_mean_{0};
    bool is_starting_ = false;
    bool canary_is_off_ = false;
    std::unique_ptr<Life> life_;
};

std::string_view name_of(env::CrashMode mode);

}  // namespace starling::sim
