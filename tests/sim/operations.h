#pragma once

// One operation of a simulated client: a request id, tried through one node after another until an
// answer decides it or the client gives up. Each answer that reaches the client goes to the oracle,
// also a late or a second one.
//
// A put is over for the client when it is acknowledged or given up. It is *settled*
// (Write::settled) when no copy of it is on its way or in work any more: the oracle is told then
// when its last dot can have been minted.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node/version/context_token.h"
#include "tests/sim/client_link.h"
#include "tests/sim/cluster.h"
#include "tests/sim/oracle.h"
#include "tests/sim/session.h"
#include "tests/sim/session_promise.h"

namespace starling::sim {

struct PutPlan {
    KeyIndex key;
    std::string value;
    bool is_delete = false;
    // Zero: it does not expire.
    base::Duration ttl = base::Duration::zero();
    Replaces replaces = Replaces::acknowledged;
    // For Replaces::seen; an empty token with nothing seen is a valid one.
    SeenToken context = {};
    // The W asked for: 0 for the namespace's.
    uint32_t quorum = 0;
    base::Duration deadline = std::chrono::seconds(2);
    std::optional<bool> sloppy = std::nullopt;
    uint32_t tries_max = 3;
    // Tried once more after the acknowledgement, as if that had been lost.
    bool needless_retry = false;
    // Zero: not. Else so long after its end it is sent once more, whatever became of it, as by a
    // proxy that has kept it; nobody waits for the answer.
    base::Duration sent_again_after = base::Duration::zero();
    // Through which node first; null: any.
    Machine* through = nullptr;
    // Of a session: what it has seen of the key.
    std::optional<SessionSeen> session = std::nullopt;
};

struct ReadPlan {
    KeyIndex key;
    // The R asked for: 0 for the namespace's.
    uint32_t quorum = 0;
    base::Duration deadline = std::chrono::seconds(2);
    uint32_t tries_max = 3;
    Machine* through = nullptr;
    // See Oracle::Read.
    bool quiet = false;
    // As in PutPlan. Each answer is held against it (I17).
    std::optional<SessionSeen> session = std::nullopt;
};

struct PutOutcome {
    absl::Status status;
    WriteId id;
    // What the put's result lets a later put supersede.
    SeenToken context = {};
    // What the session has seen now, if there is one.
    SessionSeen session = {};
};

struct ReadOutcome {
    absl::Status status;
    std::vector<std::string> values = {};
    SeenToken context = {};
    // As in PutOutcome.
    SessionSeen session = {};
};

class Operations {
  public:
    struct World {
        env::SimScheduler& scheduler;
        const env::SimRandom& random;
        Trace& trace;
        Verdict& verdict;
        const RunOptions& options;
        Cluster& cluster;
        Oracle& oracle;
        base::WallTime started;
        // Is a fault at work just now?
        std::function<bool()> fault_active;
        // A node acknowledges a put of this key and W, at this moment. May be null.
        std::function<void(Machine&, KeyIndex, WriteId, uint32_t, const node::PutResult&)>
            put_acknowledged;
    };
    struct Counts {
        uint64_t begun = 0;
        uint64_t tries = 0;
        uint64_t retries = 0;
        uint64_t sent_again = 0;
        uint64_t timeouts = 0;
        uint64_t failed = 0;
        uint64_t hit_by_faults = 0;
        uint64_t invalid_refused = 0;
        // Answers to reads whose session had seen something of the key.
        uint64_t session_reads_checked = 0;
        // Of these, those that were not held against all that their session had seen: a disk has
        // lost data since.
        uint64_t session_reads_excused = 0;
        // By the reason of the last error.
        std::map<std::string, uint64_t> failures = {};
    };

    // `name_spaces`: of the oracle's keys.
    Operations(World world, std::vector<node::NamespaceInfo> name_spaces);
    ~Operations();
    Operations(const Operations&) = delete;
    Operations& operator=(const Operations&) = delete;

    void put(PutPlan plan, std::function<void(PutOutcome)> done);
    void read(ReadPlan plan, std::function<void(ReadOutcome)> done);
    // A request that must be refused, whatever node it meets.
    void put_invalid(node::PutRequest request, std::string_view what, std::function<void()> done);
    void get_invalid(node::GetRequest request, std::string_view what, std::function<void()> done);

    // What an operator may ask of a node by mistake, and must be refused.
    void administer_invalid();

    // Nothing is sent again any more (PutPlan::sent_again_after).
    void end_sending_again();

    // Operations that a client waits for.
    uint64_t waiting() const { return under_way_; }
    // No client waits, and no node works on a request.
    bool is_idle() const { return under_way() == 0; }
    uint64_t under_way() const { return under_way_ + link_.under_way(); }
    const Counts& counts() const { return counts_; }
    const node::NamespaceInfo& name_space_of(KeyIndex key) const;
    base::RequestId next_request();
    void close() { link_.close(); }

  private:
    struct Operation;
    struct Put;
    struct Read;
    using PutPtr = std::shared_ptr<Put>;
    using ReadPtr = std::shared_ptr<Read>;

    template <typename Function>
    void after(base::Duration delay, Function function);
    Machine* pick_node();
    // The namespace of the key, as its name or now and then as its id.
    std::string spell_name_space(KeyIndex key);
    node::Superseded open_context(KeyIndex key, const std::string& token);
    // See Oracle::clocks_allow().
    uint64_t latest_write_ms(base::NodeId coordinator) const;
    bool may_try_again(const Operation& operation);
    void begin(Operation& operation);
    // Before an answer is judged: what clocks have shown and disks have lost.
    void note_world();
    void end(Operation& operation, const absl::Status& status);
    void check_error(std::string_view what, KeyIndex key, const absl::Status& status);
    template <typename Result>
    void check_refusal(std::string_view what, const absl::StatusOr<Result>& result);

    void try_put(const PutPtr& put, Machine* machine);
    void put_answered(const PutPtr& put, uint32_t number, absl::StatusOr<node::PutResult> result);
    void put_acknowledged(const PutPtr& put, const node::PutResult& result);
    void put_try_failed(const PutPtr& put, uint32_t number, absl::Status why);
    void finish_put(const PutPtr& put, absl::Status status);
    void send_again_later(const PutPtr& put);
    void settle_if_over(Put& put);

    void try_read(const ReadPtr& read, Machine* machine);
    void read_answered(const ReadPtr& read,
                       uint32_t number,
                       const Oracle::Read& asked,
                       absl::StatusOr<node::GetResult> result);
    void check_session(const Read& read,
                       const std::vector<WriteId>& present,
                       uint64_t expired_by_ms);
    void read_try_failed(const ReadPtr& read, uint32_t number, absl::Status why);
    void finish_read(const ReadPtr& read, ReadOutcome outcome);

    const World world_;
    const std::vector<node::NamespaceInfo> name_spaces_;
    const node::ContextSealer sealer_;
    // How long frames, jobs and paused nodes may still act on a put after its last answer.
    const base::Duration linger_;
    env::SimRandom random_;
    ClientLink link_;
    uint64_t under_way_ = 0;
    bool sends_again_ = true;
    std::vector<PutPtr> to_send_again_;
    Counts counts_;
};

}  // namespace starling::sim
