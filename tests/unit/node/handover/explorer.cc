#include "tests/unit/node/handover/explorer.h"

#include <deque>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace starling::node {

namespace {

bool is_fault(Action::Kind kind) {
    return kind == Action::Kind::crash || kind == Action::Kind::die ||
           kind == Action::Kind::fail_write || kind == Action::Kind::decline ||
           kind == Action::Kind::set_back;
}

class Explorer {
  public:
    explicit Explorer(const Scenario& scenario) : start_(scenario) {}

    Exploration run(uint64_t states_max) {
        visit(World(start_), 0, {});
        while (!frontier_.empty() && out_.violation.empty() && origins_.size() < states_max) {
            const uint32_t state = next_++;
            const World world = std::move(frontier_.front());
            frontier_.pop_front();
            for (const Action& action : world.possible()) {
                expand(world, state, action);
            }
        }
        out_.states = origins_.size();
        out_.is_complete = frontier_.empty();
        if (out_.is_complete && out_.violation.empty()) {
            out_.without_full_hold = unreachable_from(full_hold_).first;
            const auto [stuck, example] = unreachable_from(settled_);
            out_.stuck = stuck;
            if (stuck > 0) {
                out_.stuck_example = way_to(example);
            }
        }
        return out_;
    }

  private:
    struct Origin {
        uint32_t parent = 0;
        Action action;
    };

    void expand(const World& world, uint32_t state, const Action& action) {
        std::optional<World> next = world.after(action);
        if (!next) return;
        ++out_.transitions;
        const uint32_t to = visit(*std::move(next), state, action);
        if (!is_fault(action.kind) && to != state) {
            edges_.emplace_back(to, state);
        }
    }

    uint32_t visit(World world, uint32_t parent, const Action& action) {
        const auto [entry, is_new] =
            numbers_.try_emplace(world.fingerprint(), static_cast<uint32_t>(origins_.size()));
        const uint32_t number = entry->second;
        if (!is_new) return number;
        origins_.push_back({.parent = parent, .action = action});
        full_hold_.push_back(world.has_full_hold());
        settled_.push_back(world.is_settled());
        if (!world.violation().empty() && out_.violation.empty()) {
            out_.violation = world.violation() + "\n" + way_to(number);
        }
        frontier_.push_back(std::move(world));
        return number;
    }

    // How many states have no way to a good one, and the first of them.
    std::pair<uint64_t, uint32_t> unreachable_from(const std::vector<bool>& good) {
        // Edges, reversed, by their start.
        std::vector<uint32_t> first(origins_.size() + 1, 0);
        for (const auto& [to, from] : edges_) {
            ++first[to + 1];
        }
        for (size_t i = 1; i < first.size(); ++i) {
            first[i] += first[i - 1];
        }
        std::vector<uint32_t> sources(edges_.size());
        std::vector<uint32_t> fill(first.begin(), first.end() - 1);
        for (const auto& [to, from] : edges_) {
            sources[fill[to]++] = from;
        }
        std::vector<bool> reaches = good;
        std::vector<uint32_t> todo;
        for (uint32_t state = 0; state < good.size(); ++state) {
            if (good[state]) todo.push_back(state);
        }
        while (!todo.empty()) {
            const uint32_t state = todo.back();
            todo.pop_back();
            for (uint32_t i = first[state]; i < first[state + 1]; ++i) {
                if (!reaches[sources[i]]) {
                    reaches[sources[i]] = true;
                    todo.push_back(sources[i]);
                }
            }
        }
        std::pair<uint64_t, uint32_t> result{0, 0};
        for (uint32_t state = 0; state < reaches.size(); ++state) {
            if (reaches[state]) continue;
            if (result.first == 0) result.second = state;
            ++result.first;
        }
        return result;
    }

    std::string way_to(uint32_t state) {
        std::vector<Action> way;
        for (uint32_t at = state; at != 0; at = origins_[at].parent) {
            way.push_back(origins_[at].action);
        }
        World world(start_);
        std::string out;
        for (auto action = way.rbegin(); action != way.rend(); ++action) {
            out += world.describe(*action) + "\n";
            world = *world.after(*action);
        }
        return out + world.to_string();
    }

    const Scenario start_;
    Exploration out_;
    absl::flat_hash_map<std::pair<uint64_t, uint64_t>, uint32_t> numbers_;
    std::deque<World> frontier_;
    uint32_t next_ = 0;
    std::vector<Origin> origins_;
    std::vector<bool> full_hold_;
    std::vector<bool> settled_;
    // To, from; without faults.
    std::vector<std::pair<uint32_t, uint32_t>> edges_;
};

}  // namespace

Exploration explore(const Scenario& scenario, uint64_t states_max) {
    return Explorer(scenario).run(states_max);
}

}  // namespace starling::node
