#pragma once

// One writer of the chaos test: a loop of puts and deletes on keys of its own and on shared ones,
// each told to the ledger.
//
// On its own keys it writes in one of these ways, on shared ones always `read_first`:
//   chained:    with the context that its write before returned
//   read_first: with the context of a read
//   plain:      without a context, stand-ins allowed
//   strict:     without a context, stand-ins not allowed

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>

#include "client/client.h"
#include "tests/cluster/ledger.h"

namespace starling::cluster_test {

enum class Manner { chained, read_first, plain, strict };

class Writer {
  public:
    Writer(client::Client& client, Ledger& ledger, uint32_t number, uint32_t seed);
    // Until `stop`.
    void run(const std::atomic<bool>& stop);

  private:
    // What this writer knows of a key of its own.
    struct Own {
        // In the chained manner: what the next write carries.
        std::string context;
        std::set<std::string> before;
        // Acknowledged by owners alone, so that the next plain write is sure to see them.
        std::set<std::string> sure;
    };

    void write_once();
    void write_own(const std::string& key, bool is_delete);
    void write_after_reading(const std::string& key, bool is_delete);
    absl::StatusOr<v1::WriteResponse> send(const std::string& key,
                                           const std::string& value,
                                           client::WriteOptions options);
    std::string next_value();
    uint32_t draw(uint32_t count);

    client::Client& client_;
    Ledger& ledger_;
    const uint32_t number_;
    const Manner manner_;
    std::mt19937 random_;
    std::map<std::string, Own> own_;
    uint64_t values_ = 0;
};

}  // namespace starling::cluster_test
