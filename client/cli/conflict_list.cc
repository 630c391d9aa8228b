#include "client/cli/conflict_list.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

ConflictPosition position_of(const v1::Conflict& conflict) {
    return {.partition = conflict.partition(), .key = conflict.key()};
}

// What one node says, in order.
class Source {
  public:
    Source(const ConflictListOptions& options, const AskForConflicts& ask)
        : ask_(ask), left_(options.limit) {
        request_.set_namespace_(options.name_space);
        request_.set_partition(options.from.partition);
        request_.set_key(options.from.key);
    }

    // Null: there is nothing more.
    const v1::Conflict* next() {
        while (waiting_.empty() && !ended_) {
            fetch();
        }
        return waiting_.empty() ? nullptr : &waiting_.front();
    }
    void pass() { waiting_.pop_front(); }

    const std::set<uint32_t>& searched() const { return searched_; }
    const absl::Status& status() const { return status_; }

  private:
    void fetch() {
        request_.set_keys_max(left_);
        auto page = ask_(request_);
        if (!page.ok()) {
            give_up(page.status(), request_.partition());
            return;
        }
        searched_.insert(page->partitions().begin(), page->partitions().end());
        ended_ = page->is_last();
        const ConflictPosition before{request_.partition(), request_.key()};
        request_.set_partition(page->next_partition());
        request_.set_key(page->next_key());
        if (!ended_ && ConflictPosition{request_.partition(), request_.key()} <= before) {
            give_up(absl::InternalError("a node's list of conflicts goes in circles"),
                    before.partition);
        }
        for (v1::Conflict& conflict : *page->mutable_conflicts()) {
            waiting_.push_back(std::move(conflict));
        }
    }

    // Pages ended within `partition`: it was not searched whole, nor was any after it.
    void give_up(absl::Status status, uint32_t partition) {
        status_ = std::move(status);
        ended_ = true;
        searched_.erase(searched_.lower_bound(partition), searched_.end());
    }

    const AskForConflicts& ask_;
    const uint32_t left_;
    v1::ListConflictsRequest request_;
    std::deque<v1::Conflict> waiting_;
    std::set<uint32_t> searched_;
    absl::Status status_;
    bool ended_ = false;
};

// The source whose next conflict is the first of all; null when none has one.
Source* first_of(std::vector<Source>& sources) {
    Source* first = nullptr;
    for (Source& source : sources) {
        const v1::Conflict* const next = source.next();
        if (next != nullptr &&
            (first == nullptr || position_of(*next) < position_of(*first->next()))) {
            first = &source;
        }
    }
    return first;
}

uint32_t count_missing(const std::vector<Source>& sources, uint32_t from, uint32_t end) {
    std::set<uint32_t> searched;
    for (const Source& source : sources) {
        searched.insert(source.searched().begin(), source.searched().end());
    }
    uint32_t missing = 0;
    for (uint32_t partition = from; partition < end; ++partition) {
        missing += searched.contains(partition) ? 0U : 1U;
    }
    return missing;
}

}  // namespace

std::string to_string(const ConflictPosition& position) {
    return fmt::format("{}:{}", position.partition, to_hex(position.key));
}

absl::StatusOr<ConflictPosition> parse_position(const std::string& text) {
    ConflictPosition position;
    const char* const end = text.data() + text.size();
    const auto [colon, error] = std::from_chars(text.data(), end, position.partition);
    if (error != std::errc() || colon == end || *colon != ':' ||
        !from_hex(std::string_view(colon + 1, static_cast<size_t>(end - colon - 1)),
                  position.key)) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::invalid_request,
                                "--from: not what a list before has ended with");
    }
    return position;
}

ConflictList list_conflicts(const ConflictListOptions& options,
                            const std::vector<AskForConflicts>& nodes) {
    std::vector<Source> sources;
    sources.reserve(nodes.size());
    for (const AskForConflicts& node : nodes) {
        sources.emplace_back(options, node);
    }
    ConflictList list;
    uint32_t searched_end = options.partition_count;
    while (Source* const source = first_of(sources)) {
        const v1::Conflict& conflict = *source->next();
        const bool is_known =
            !list.conflicts.empty() && position_of(list.conflicts.back()) == position_of(conflict);
        if (is_known) {
            if (conflict.siblings() > list.conflicts.back().siblings()) {
                list.conflicts.back() = conflict;
            }
        } else if (list.conflicts.size() < options.limit) {
            list.conflicts.push_back(conflict);
        } else {
            list.next = position_of(conflict);
            searched_end = std::min(searched_end, list.next->partition);
            break;
        }
        source->pass();
    }
    list.partitions_missing = count_missing(sources, options.from.partition, searched_end);
    for (const Source& source : sources) {
        if (!source.status().ok()) {
            list.failures.push_back(source.status());
        }
    }
    return list;
}

}  // namespace starling::client
