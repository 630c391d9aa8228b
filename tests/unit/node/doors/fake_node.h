#pragma once

// A node for the doors to call: keeps what it was asked, and answers as the test says, at once or
// when told.

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"

#include "base/error.h"
#include "node/api.h"

namespace starling::node {

class FakeNode final : public KvService, public AdminService {
  public:
    // What to answer; called under no lock, on the door's thread.
    std::function<absl::StatusOr<PutResult>(const PutRequest&)> on_put = [](const PutRequest&) {
        return PutResult{.context = "ctx"};
    };
    std::function<absl::StatusOr<GetResult>(const GetRequest&)> on_get = [](const GetRequest&) {
        return GetResult{};
    };
    std::function<absl::StatusOr<InspectResult>(const InspectRequest&)> on_inspect =
        [](const InspectRequest&) { return InspectResult{}; };
    absl::StatusOr<Joined> join_answer = Joined{.cluster = base::ClusterId(77), .member_count = 2};
    absl::StatusOr<StatusReport> status_answer = StatusReport{};
    absl::StatusOr<std::vector<RingPartition>> ring_answer = std::vector<RingPartition>{};

    // While held, requests wait in order until answered or dropped one by one.
    void hold() {
        absl::MutexLock lock(&mutex_);
        is_holding_ = true;
    }
    // Answers the oldest (or newest) held request. False when there is none.
    bool answer_one(bool newest = false) {
        std::function<void()> run;
        {
            absl::MutexLock lock(&mutex_);
            if (held_.empty()) {
                return false;
            }
            run = std::move(newest ? held_.back() : held_.front());
            newest ? held_.pop_back() : held_.pop_front();
        }
        run();
        return true;
    }
    void answer_all() {
        while (answer_one()) {
        }
    }
    // As a stopping node does with what its loops never ran.
    void drop_all() {
        std::deque<std::function<void()>> dropped;
        absl::MutexLock lock(&mutex_);
        dropped.swap(held_);
    }
    void release() {
        {
            absl::MutexLock lock(&mutex_);
            is_holding_ = false;
        }
        answer_all();
    }
    size_t held() {
        absl::MutexLock lock(&mutex_);
        return held_.size();
    }
    // Blocks until `count` requests wait, or 10 s.
    bool wait_for_held(size_t count) {
        absl::MutexLock lock(&mutex_);
        const auto enough = [this, count] { return held_.size() >= count; };
        return mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(10));
    }

    std::vector<PutRequest> puts() {
        absl::MutexLock lock(&mutex_);
        return puts_;
    }
    std::vector<GetRequest> gets() {
        absl::MutexLock lock(&mutex_);
        return gets_;
    }
    std::vector<std::string> joins() {
        absl::MutexLock lock(&mutex_);
        return joins_;
    }
    std::vector<NamespaceInfo> namespaces() {
        absl::MutexLock lock(&mutex_);
        return namespaces_;
    }

    void put(PutRequest request, PutCallback done) override {
        {
            absl::MutexLock lock(&mutex_);
            puts_.push_back(request);
            if (is_holding_) {
                held_.push_back([this,
                                 request = std::move(request),
                                 done = std::make_shared<PutCallback>(std::move(done))] {
                    (*done)(on_put(request));
                });
                return;
            }
        }
        done(on_put(request));
    }
    void get(GetRequest request, GetCallback done) override {
        {
            absl::MutexLock lock(&mutex_);
            gets_.push_back(request);
            if (is_holding_) {
                held_.push_back([this,
                                 request = std::move(request),
                                 done = std::make_shared<GetCallback>(std::move(done))] {
                    (*done)(on_get(request));
                });
                return;
            }
        }
        done(on_get(request));
    }
    void join(std::string known_address, Callback<Joined> done) override {
        {
            absl::MutexLock lock(&mutex_);
            joins_.push_back(std::move(known_address));
        }
        done(join_answer);
    }
    void status(Callback<StatusReport> done) override {
        {
            absl::MutexLock lock(&mutex_);
            if (is_holding_) {
                held_.push_back(
                    [this, done = std::make_shared<Callback<StatusReport>>(std::move(done))] {
                        (*done)(status_answer);
                    });
                return;
            }
        }
        done(status_answer);
    }
    void ring(Callback<std::vector<RingPartition>> done) override { done(ring_answer); }
    void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) override {
        {
            absl::MutexLock lock(&mutex_);
            info.id = base::NamespaceId(namespaces_.size() + 2);
            namespaces_.push_back(info);
        }
        done(info);
    }
    void list_namespaces(Callback<std::vector<NamespaceInfo>> done) override { done(namespaces()); }
    void inspect_replica(InspectRequest request, Callback<InspectResult> done) override {
        done(on_inspect(request));
    }
    void list_conflicts(ConflictQuery query, Callback<ConflictPage> done) override {
        conflict_queries.push_back(std::move(query));
        done(conflict_answer);
    }
    absl::StatusOr<ConflictPage> conflict_answer = ConflictPage{};
    std::vector<ConflictQuery> conflict_queries;

  private:
    absl::Mutex mutex_;
    bool is_holding_ = false;
    std::deque<std::function<void()>> held_;
    std::vector<PutRequest> puts_;
    std::vector<GetRequest> gets_;
    std::vector<std::string> joins_;
    std::vector<NamespaceInfo> namespaces_;
};

}  // namespace starling::node
