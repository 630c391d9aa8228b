#include "node/server/scrubber.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/entropy/fakes.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Of some size, and damaged when told to; writes down what is read.
class SizedEngine final : public node::testing::ScriptedEngine {
  public:
    SizedEngine() : ScriptedEngine(nullptr) {}

    absl::StatusOr<storage::ScrubStep> scrub(uint64_t bytes) override {
        ++steps;
        if (!error.ok()) return error;
        const uint64_t read = std::min(bytes, size - position);
        position += read;
        const bool is_last = position == size;
        if (is_last) position = 0;
        return storage::ScrubStep{.bytes = read, .is_last = is_last};
    }
    storage::EngineStatistics statistics() const override {
        storage::EngineStatistics out;
        out.disk_bytes = size + log_bytes;
        return out;
    }

    uint64_t size = 0;
    // Which nobody reads.
    uint64_t log_bytes = 0;
    uint64_t position = 0;
    uint64_t steps = 0;
    absl::Status error;
};

class ScrubberTest : public ::testing::Test, private Scrubber::Host {
  protected:
    static constexpr base::Duration period = minutes(100);

    // What is read in `time`.
    uint64_t bytes_in(base::Duration time) {
        const uint64_t before = scrubber_.counts().bytes;
        run_for(time);
        return scrubber_.counts().bytes - before;
    }
    void run_for(base::Duration time) {
        const base::MonotonicTime end = loop_.now() + time;
        while (loop_.now() < end) {
            loop_.run_for(milliseconds(100));
            while (workers_.run_one()) {
                loop_.run_for(base::Duration::zero());
            }
        }
    }

    FakeLoop loop_;
    node::testing::HeldWorkers workers_;
    bool is_being_searched_ = false;
    bool do_clients_wait_ = false;
    std::vector<std::string> lines_;
    SizedEngine engine_;
    Scrubber scrubber_{static_cast<Scrubber::Host&>(*this), engine_, loop_, workers_, period};

  private:
    bool is_disk_being_searched() const override { return is_being_searched_; }
    bool do_clients_wait() override { return do_clients_wait_; }
    void log(std::string_view severity, std::string_view line) override {
        lines_.push_back(fmt::format("{}: {}", severity, line));
    }
};

TEST_F(ScrubberTest, EverythingIsReadOnceInThePeriod) {
    engine_.size = 1000 * Scrubber::step_bytes;
    scrubber_.start();
    const uint64_t half = bytes_in(period / 2);
    EXPECT_GT(half, engine_.size * 48 / 100);
    EXPECT_LE(half, engine_.size / 2);
    run_for(period / 2 + minutes(1));
    EXPECT_EQ(scrubber_.counts().rounds, 1u);
    EXPECT_EQ(scrubber_.counts().failed, 0u);
}

TEST_F(ScrubberTest, ItFollowsWhatThereIsToRead) {
    engine_.size = 100 * Scrubber::step_bytes;
    scrubber_.start();
    const uint64_t before = bytes_in(minutes(10));
    engine_.size *= 10;
    // The rest that has begun is as long as before.
    run_for(minutes(1));
    EXPECT_NEAR(static_cast<double>(bytes_in(minutes(10))),
                static_cast<double>(before) * 10,
                static_cast<double>(before));
}

TEST_F(ScrubberTest, LittleIsReadAtOnceAndMoreOften) {
    engine_.size = 1000;
    scrubber_.start();
    run_for(Scrubber::rest_max - seconds(1));
    EXPECT_EQ(engine_.steps, 0u);
    run_for(seconds(2));
    EXPECT_EQ(scrubber_.counts().bytes, 1000u);
    EXPECT_EQ(scrubber_.counts().rounds, 1u);
    run_for(Scrubber::rest_max * 3);
    EXPECT_EQ(scrubber_.counts().rounds, 4u);
}

TEST_F(ScrubberTest, AnEmptyDiskIsLookedAtNowAndThen) {
    scrubber_.start();
    run_for(Scrubber::rest_max * 3 + seconds(1));
    EXPECT_EQ(engine_.steps, 3u);
}

TEST_F(ScrubberTest, WhereOnlyALogTakesRoomItLooksNowAndThen) {
    engine_.log_bytes = 64 << 20;
    scrubber_.start();
    run_for(period / 4);
    EXPECT_GE(engine_.steps, 1u);
    EXPECT_LE(engine_.steps, engine_.log_bytes / Scrubber::step_bytes / 4 + 1);
}

TEST_F(ScrubberTest, WhileClientsWaitItReadsHalfAsMuch) {
    engine_.size = 1000 * Scrubber::step_bytes;
    scrubber_.start();
    const uint64_t before = bytes_in(minutes(10));
    do_clients_wait_ = true;
    EXPECT_NEAR(static_cast<double>(bytes_in(minutes(10))),
                static_cast<double>(before) / 2,
                static_cast<double>(before) / 10);
    do_clients_wait_ = false;
    EXPECT_NEAR(static_cast<double>(bytes_in(minutes(10))),
                static_cast<double>(before),
                static_cast<double>(before) / 10);
}

TEST_F(ScrubberTest, WhileClientsWaitItReadsHalfAsMuchOfALargeDiskToo) {
    // With rests that are shorter than a second.
    engine_.size = 24'000 * Scrubber::step_bytes;
    scrubber_.start();
    const uint64_t before = bytes_in(minutes(2));
    do_clients_wait_ = true;
    EXPECT_NEAR(static_cast<double>(bytes_in(minutes(2))),
                static_cast<double>(before) / 2,
                static_cast<double>(before) / 5);
}

TEST_F(ScrubberTest, NothingIsReadWhileTheDiskIsBeingSearchedForDamage) {
    engine_.size = 1000 * Scrubber::step_bytes;
    scrubber_.start();
    run_for(minutes(1));
    is_being_searched_ = true;
    EXPECT_EQ(bytes_in(minutes(30)), 0u);
    is_being_searched_ = false;
    EXPECT_GT(bytes_in(minutes(1)), 0u);
}

TEST_F(ScrubberTest, AfterAnErrorItGoesOnAndSaysSoOnceInARound) {
    engine_.size = 100 * Scrubber::step_bytes;
    engine_.error = absl::DataLossError("t7.table: at offset 12: damaged");
    scrubber_.start();
    run_for(period / 10 + seconds(1));
    EXPECT_EQ(scrubber_.counts().failed, 10u);
    ASSERT_EQ(lines_.size(), 1u);
    EXPECT_THAT(lines_.front(), ::testing::HasSubstr("t7.table: at offset 12"));
    engine_.error = absl::OkStatus();
    run_for(period + minutes(2));
    EXPECT_EQ(scrubber_.counts().rounds, 1u);
    EXPECT_EQ(lines_.size(), 1u);
    engine_.error = absl::UnavailableError("an error of the disk");
    run_for(period / 10);
    EXPECT_EQ(lines_.size(), 2u);
}

TEST_F(ScrubberTest, OnceStoppedItReadsNothingAndIsIdleWhenItsStepHasEnded) {
    engine_.size = 1000 * Scrubber::step_bytes;
    scrubber_.start();
    while (workers_.size() == 0) {
        loop_.run_for(milliseconds(100));
    }
    EXPECT_FALSE(scrubber_.is_idle());
    scrubber_.stop();
    run_for(minutes(10));
    EXPECT_TRUE(scrubber_.is_idle());
    EXPECT_EQ(engine_.steps, 1u);
}

}  // namespace
}  // namespace starling::node
