// starling-sim: runs simulated clusters.
//
//   starling-sim --seed N [--nodes K] [--minutes M] [--trace | --frames]
//   starling-sim --seeds A..B [--nodes K] [--minutes M] [--jobs J] [--twice] [--marks]
//   starling-sim --only CLASS ...                   (of all faults this class alone)
//   starling-sim --planted NAME --seeds A..B        (builds with STARLING_PLANTED_BUGS only)
//
// Exit code 0: all runs are clean (with --planted: a run caught the bug, and is clean without it).
// 1: a violation (the bug was not caught). 2: bad usage. docs/simulator.md says how to read a
// failure.

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/planted.h"
#include "tests/sim/fault_tally.h"
#include "tests/sim/mark_tally.h"
#include "tests/sim/simulation.h"

namespace starling::sim {
namespace {

struct Arguments {
    uint64_t first_seed = 1;
    uint64_t last_seed = 1;
    bool many = false;
    std::optional<uint32_t> nodes;
    base::Duration duration = std::chrono::minutes(5);
    uint32_t jobs = 1;
    bool twice = false;
    bool trace = false;
    bool frames = false;
    bool quiet = false;
    bool marks = false;
    // Null: all that the seed draws.
    const FaultClass* only = nullptr;
    std::string planted;
};

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto in_seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return in_seconds(usage.ru_utime) + in_seconds(usage.ru_stime);
}

double in_seconds(base::Duration duration) {
    return static_cast<double>(duration.count()) * 1e-9;
}

std::string replay_command(const Arguments& arguments, uint64_t seed) {
    std::string command = fmt::format(
        "starling-sim --seed {} --minutes {:g}", seed, in_seconds(arguments.duration) / 60);
    if (arguments.nodes) command += fmt::format(" --nodes {}", *arguments.nodes);
    if (arguments.only != nullptr) command += fmt::format(" --only '{}'", arguments.only->name);
    if (!arguments.planted.empty()) command += fmt::format(" --planted {}", arguments.planted);
    return command;
}

std::string describe_counts(const RunResult& result) {
    std::string out = fmt::format(
        "  checked {} (puts acknowledged {}, {} with hints; reads {}, {} of them bound by an "
        "acknowledged write, {} with siblings), "
        "reads of sessions {} ({} not held against all that is lost), contended puts {}, "
        "operations hit by faults {}, retries {}, sent again {}, failed "
        "{}, invalid refused "
        "{}\n",
        result.oracle.checked(),
        result.oracle.puts_acknowledged,
        result.oracle.acknowledged_with_hints,
        result.oracle.reads_checked,
        result.oracle.reads_meeting,
        result.oracle.reads_with_siblings,
        result.operations.session_reads_checked,
        result.operations.session_reads_excused,
        result.oracle.puts_contended,
        result.operations.hit_by_faults,
        result.operations.retries,
        result.operations.sent_again,
        result.operations.failed,
        result.operations.invalid_refused);
    if (result.oracle.last_writes_compared + result.oracle.puts_taken_as_current > 0) {
        out += fmt::format("  last writes compared {}, puts taken as current {}, refused {}\n",
                           result.oracle.last_writes_compared,
                           result.oracle.puts_taken_as_current,
                           result.oracle.puts_refused);
    }
    if (result.oracle.puts_that_expire > 0) {
        out += fmt::format(
            "  puts that expire {}, shown before {} times, missed after that {} times\n",
            result.oracle.puts_that_expire,
            result.oracle.shown_before_expiry,
            result.oracle.absent_after_expiry);
    }
    if (result.oracle.last_writes_timed > 0)
        out += fmt::format("  last writes held against the clocks {}\n",
                           result.oracle.last_writes_timed);
    if (result.canary_operations > 0)
        out += fmt::format("  operations of canaries {}\n", result.canary_operations);
    out += fmt::format(
        "  pairs of nodes in touch, looked at {} times, the longest {:.0f} s with one held for "
        "dead; "
        "conclusions that all have seen something {}\n",
        result.liveness.pairs_looked_at,
        in_seconds(result.liveness.held_dead_longest),
        result.conclusions_compared);
    out += "  failures:";
    for (const auto& [reason, count] : result.operations.failures)
        out += fmt::format(" {} {}", reason, count);
    out += fmt::format(
        "\n  crashes {} ({} in recovery), joins {} ({} refused), starts {}; frames sent {}, lost "
        "{}, cut {}, "
        "replayed {}, reordered {}, corrupted {}, over capacity {}, held by capacity {}, lost "
        "half-open "
        "{}; episodes:",
        result.cluster.crashes,
        result.cluster.crashes_in_recovery,
        result.cluster.joins,
        result.cluster.joins_refused,
        result.cluster.starts,
        result.network.sent,
        result.network.lost,
        result.network.cut,
        result.network.replays_delivered,
        result.network.reordered,
        result.network.corrupted,
        result.network.over_capacity,
        result.network.held_by_capacity,
        result.network.lost_half_open);
    for (const auto& [name, count] : result.faults)
        out += fmt::format(" {} {}", name, count);
    out += fmt::format(
        "\n  audits of acknowledgements {}, disks opened {}, indexed writes {}, keys merged in all "
        "orders {} (up to {} versions)",
        result.audit.acknowledgements,
        result.audit.disks_opened,
        result.audit.indexed_dots,
        result.audit.keys_merged,
        result.audit.versions_max);
    if (!result.core.empty()) out += "\n  " + result.core;
    out += fmt::format("\n  {} events; at rest {:.1f} s after the last fault\n",
                       result.events,
                       in_seconds(result.convergence));
    return out;
}

void print_failure(const Arguments& arguments, const RunOptions& options, const RunResult& result) {
    // The same run again, with a trace.
    Simulation again(options, {.lines_max = 400});
    const RunResult traced = again.run();
    for (const std::string& line : traced.trace)
        fmt::print("{}\n", line);
    if (!traced.key_history.empty()) fmt::print("{}", traced.key_history);
    for (const Violation& violation : result.violations) {
        fmt::print("VIOLATION {}: {}\n", violation.invariant, violation.what);
    }
    if (traced.digest != result.digest)
        fmt::print("VIOLATION I23: the run with a trace has another digest\n");
    fmt::print("replay: {}\n", replay_command(arguments, options.seed));
}

// Of the runs that were to have a core, how many had one. In memory shared with forked processes.
struct CoreTally {
    std::atomic<uint64_t> had;
    std::atomic<uint64_t> had_none;

    static CoreTally& shared() {
        static void* const memory = mmap(
            nullptr, sizeof(CoreTally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        STARLING_CHECK_MSG(memory != MAP_FAILED, "no memory to count cores in");
        // Zeros are counts of zero.
        return *static_cast<CoreTally*>(memory);
    }
    void add(const RunResult& result) {
        if (!result.core.empty()) ++(result.had_core ? had : had_none);
    }
    std::string summary() const {
        return fmt::format("cores: {} runs had one, {} that were to had none", +had, +had_none);
    }
    // Where nodes are few, or a namespace has an N of 1 or 2, none can be spared: in two runs of
    // five.
    bool are_too_few() const { return had + had_none >= 40 && 3 * had < had_none; }
};

// Of all runs.
struct Tallies {
    MarkTally marks;
    FaultTally faults;
};

RunOptions options_of(const Arguments& arguments, uint64_t seed) {
    if (arguments.only == nullptr) {
        return draw_options(
            {.seed = seed, .nodes = arguments.nodes, .duration = arguments.duration});
    }
    RunOptions options = only_fault(*arguments.only, seed);
    options.nodes = options.nodes_at_start = arguments.nodes.value_or(options.nodes);
    options.duration = arguments.duration;
    return options;
}

// True when the run was clean.
bool run_seed(const Arguments& arguments, uint64_t seed, bool verbose, Tallies& tallies) {
    const RunOptions options = options_of(arguments, seed);
    if (verbose) fmt::print("{}", to_string(options));
    const double cpu_before = cpu_seconds();
    const Simulation::TraceOptions trace{.lines_max = arguments.trace ? size_t{1} : 0,
                                         .live = arguments.trace,
                                         .frames = arguments.frames};
    tallies.marks.begin_run();
    const RunResult result = Simulation(options, trace).run();
    tallies.marks.end_run();
    tallies.faults.add(options, result);
    CoreTally::shared().add(result);
    const double cpu = cpu_seconds() - cpu_before;
    bool clean = result.ok();
    if (clean && arguments.twice) {
        const RunResult second = Simulation(options).run();
        if (second.digest != result.digest) {
            fmt::print("VIOLATION I23: seed {}: digests {:016x} and {:016x}\n",
                       seed,
                       result.digest,
                       second.digest);
            clean = false;
        }
    }
    if (!result.ok() && !arguments.quiet) {
        if (!verbose) fmt::print("{}", to_string(options));
        print_failure(arguments, options, result);
    }
    if (verbose) {
        fmt::print("{}", describe_counts(result));
        if (arguments.marks) fmt::print("{}", tallies.marks.table());
        fmt::print("  {}\n", tallies.marks.summary());
    }
    fmt::print(
        "seed {} {} digest {:016x} ({} nodes, {:.0f} simulated s in {:.2f} CPU s, {:.1f} checked "
        "per s{})\n",
        seed,
        clean ? "ok" : "FAILED",
        result.digest,
        options.nodes,
        in_seconds(result.simulated),
        cpu,
        static_cast<double>(result.oracle.checked()) / in_seconds(result.simulated),
        result.ok() ? "" : fmt::format(", {}", result.violations.front().invariant));
    if (verbose) fmt::print("digest {:016x}\n", result.digest);
    std::fflush(stdout);
    return clean;
}

// What became of a seed; the exit code of its process.
enum class Outcome : int { clean = 0, failed = 1, fails_without_the_bug = 2 };

struct Tally {
    uint64_t clean = 0;
    uint64_t failed = 0;
    // Not counted as caught.
    uint64_t fail_without_the_bug = 0;
    std::vector<uint64_t> failed_seeds;
};

bool plant(const std::string& name);

Outcome outcome_of(bool is_clean) {
    return is_clean ? Outcome::clean : Outcome::failed;
}

// A seed catches the planted bug when it fails, by a violation or a tripped check, and the same
// seed without the bug is clean.
Outcome hunt(const Arguments& arguments, uint64_t seed, Tallies& tallies) {
    const pid_t hunter = fork();
    if (hunter == 0) {
        const bool clean = run_seed(arguments, seed, false, tallies);
        std::fflush(stdout);
        _exit(clean ? 0 : 1);
    }
    int status = 0;
    waitpid(hunter, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Outcome::clean;
    if (!WIFEXITED(status)) fmt::print("seed {}: killed by signal {}\n", seed, WTERMSIG(status));
    plant("none");
    Arguments without = arguments;
    without.planted.clear();
    without.quiet = true;
    fmt::print("without the bug: ");
    return run_seed(without, seed, false, tallies) ? Outcome::failed
                                                   : Outcome::fails_without_the_bug;
}

// A process of its own for each seed: memory stays small, and a tripped check fails one seed only.
Tally run_many(const Arguments& arguments, bool is_hunt, Tallies& tallies) {
    Tally tally;
    std::map<pid_t, uint64_t> running;
    uint64_t next = arguments.first_seed;
    const auto reap = [&] {
        int status = 0;
        const pid_t child = wait(&status);
        const auto found = running.find(child);
        if (found == running.end()) return;
        if (WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(Outcome::clean)) {
            ++tally.clean;
        } else if (WIFEXITED(status) &&
                   WEXITSTATUS(status) == static_cast<int>(Outcome::fails_without_the_bug)) {
            ++tally.fail_without_the_bug;
        } else {
            ++tally.failed;
            tally.failed_seeds.push_back(found->second);
            if (!WIFEXITED(status)) {
                fmt::print("seed {} FAILED: killed by signal {}\nreplay: {}\n",
                           found->second,
                           WTERMSIG(status),
                           replay_command(arguments, found->second));
            }
        }
        running.erase(found);
    };
    while (next <= arguments.last_seed || !running.empty()) {
        const bool enough = is_hunt && tally.failed > 0;
        if (enough || next > arguments.last_seed || running.size() >= arguments.jobs) {
            if (running.empty()) break;
            reap();
            continue;
        }
        std::fflush(stdout);
        const uint64_t seed = next++;
        const pid_t child = fork();
        if (child == 0) {
            const Outcome outcome = is_hunt ? hunt(arguments, seed, tallies)
                                            : outcome_of(run_seed(arguments, seed, false, tallies));
            std::fflush(stdout);
            _exit(static_cast<int>(outcome));
        }
        running.emplace(child, seed);
    }
    std::ranges::sort(tally.failed_seeds);
    return tally;
}

template <typename Number>
bool parse(std::string_view text, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

bool parse_seeds(std::string_view text, Arguments& arguments) {
    const size_t dots = text.find("..");
    if (dots == std::string_view::npos) return false;
    arguments.many = true;
    return parse(text.substr(0, dots), arguments.first_seed) &&
           parse(text.substr(dots + 2), arguments.last_seed) &&
           arguments.first_seed <= arguments.last_seed;
}

bool parse_arguments(int count, char** words, Arguments& arguments) {
    for (int i = 1; i < count; ++i) {
        const std::string_view word = words[i];
        if (word == "--twice") {
            arguments.twice = true;
        } else if (word == "--trace") {
            arguments.trace = true;
        } else if (word == "--frames") {
            arguments.trace = true;
            arguments.frames = true;
        } else if (word == "--quiet") {
            arguments.quiet = true;
        } else if (word == "--marks") {
            arguments.marks = true;
        } else if (i + 1 == count) {
            return false;
        } else if (const std::string_view value = words[++i]; word == "--seed") {
            if (!parse(value, arguments.first_seed)) return false;
            arguments.last_seed = arguments.first_seed;
        } else if (word == "--seeds") {
            if (!parse_seeds(value, arguments)) return false;
        } else if (word == "--nodes") {
            uint32_t nodes = 0;
            if (!parse(value, nodes) || nodes < 1 || nodes > 9) return false;
            arguments.nodes = nodes;
        } else if (word == "--minutes") {
            double minutes = 0;
            if (!parse(value, minutes) || minutes <= 0) return false;
            arguments.duration = base::Duration(static_cast<int64_t>(minutes * 60e9));
        } else if (word == "--jobs") {
            if (!parse(value, arguments.jobs) || arguments.jobs < 1) return false;
        } else if (word == "--only") {
            const auto found = std::ranges::find(fault_classes(), value, &FaultClass::name);
            if (found == fault_classes().end()) return false;
            arguments.only = &*found;
        } else if (word == "--planted") {
            arguments.planted = value;
        } else {
            return false;
        }
    }
    return true;
}

bool plant(const std::string& name) {
    const auto found = std::ranges::find(base::planted_bug_names, std::string_view(name));
    if (found == base::planted_bug_names.end()) {
        fmt::print(stderr, "no planted bug '{}'; there are:", name);
        for (const std::string_view known : base::planted_bug_names)
            fmt::print(stderr, " {}", known);
        fmt::print(stderr, "\n");
        return false;
    }
#ifdef STARLING_PLANTED_BUGS
    base::planted_bug = static_cast<base::PlantedBug>(found - base::planted_bug_names.begin());
    return true;
#else
    fmt::print(stderr, "this build has no planted bugs; configure with --preset planted\n");
    return false;
#endif
}

int run(const Arguments& arguments) {
    Tallies tallies;
    // Before any fork.
    CoreTally::shared();
    if (!arguments.many) return run_seed(arguments, arguments.first_seed, true, tallies) ? 0 : 1;
    const auto begin = std::chrono::steady_clock::now();
    const bool hunting = !arguments.planted.empty();
    const Tally tally = run_many(arguments, hunting, tallies);
    const double wall =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (hunting) {
        fmt::print(
            "planted {}: {}{}\n",
            arguments.planted,
            tally.failed > 0 ? fmt::format("caught by seed {}", tally.failed_seeds.front())
                             : fmt::format("NOT caught by {} seeds", tally.clean),
            tally.fail_without_the_bug > 0
                ? fmt::format(", {} not counted that fail without it", tally.fail_without_the_bug)
                : "");
        return tally.failed > 0 ? 0 : 1;
    }
    if (arguments.marks) fmt::print("{}", tallies.marks.table());
    const std::string never_hit = tallies.marks.never_hit();
    fmt::print(
        "{}{}{}\n", tallies.marks.summary(), never_hit.empty() ? "" : "; never:\n", never_hit);
    fmt::print("faults: how often, in how many runs that had them\n{}", tallies.faults.table());
    fmt::print("{}\n", CoreTally::shared().summary());
    std::string failed;
    for (const uint64_t seed : tally.failed_seeds)
        failed += fmt::format(" {}", seed);
    fmt::print(
        "{} seeds: {} clean, {} failed{}{}; {:.0f} simulated s each in {:.0f} s with {} jobs\n",
        tally.clean + tally.failed,
        tally.clean,
        tally.failed,
        failed.empty() ? "" : ":",
        failed,
        in_seconds(arguments.duration),
        wall,
        arguments.jobs);
    const bool too_few_cores = CoreTally::shared().are_too_few();
    if (too_few_cores) fmt::print("VIOLATION floor: most runs that were to have a core had none\n");
    const std::string unused = tallies.faults.never_hit();
    if (!unused.empty())
        fmt::print("VIOLATION floor: many runs had it, and it was at work in none: {}\n", unused);
    return tally.failed == 0 && !too_few_cores && unused.empty() ? 0 : 1;
}

}  // namespace
}  // namespace starling::sim

int main(int count, char** words) {
    starling::sim::Arguments arguments;
    if (!starling::sim::parse_arguments(count, words, arguments)) {
        fmt::print(stderr,
                   "usage: starling-sim (--seed N | --seeds A..B) [--nodes 1..9] [--minutes M] "
                   "[--jobs J] [--twice] "
                   "[--marks] [--trace] [--frames] [--quiet] [--only CLASS] [--planted NAME]\n");
        return 2;
    }
    if (!arguments.planted.empty() && !starling::sim::plant(arguments.planted)) return 2;
    // Large blocks come and go with every log, table and copy of a disk. Given back to the kernel
    // each time, a fifth of the run would go into fetching them again.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 16 << 20);
    return starling::sim::run(arguments);
}
