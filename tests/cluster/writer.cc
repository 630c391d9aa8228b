#include "tests/cluster/writer.h"

#include <fmt/format.h>

#include "client/error.h"

namespace starling::cluster_test {

namespace {

constexpr uint32_t own_keys = 16;
constexpr uint32_t shared_keys = 12;

Outcome outcome_of(const absl::StatusOr<v1::WriteResponse>& written) {
    if (written.ok()) {
        return Outcome::acknowledged;
    }
    return client::outcome_unknown(written.status()) ? Outcome::unknown : Outcome::refused;
}

}  // namespace

Writer::Writer(client::Client& client, Ledger& ledger, uint32_t number, uint32_t seed)
    : client_(client),
      ledger_(ledger),
      number_(number),
      manner_(static_cast<Manner>(number % 4)),
      random_(seed) {}

void Writer::run(const std::atomic<bool>& stop) {
    while (!stop) {
        write_once();
    }
}

uint32_t Writer::draw(uint32_t count) {
    return std::uniform_int_distribution<uint32_t>(0, count - 1)(random_);
}

std::string Writer::next_value() {
    return fmt::format("w{}-{}-{}", number_, ++values_, std::string(draw(200), 'x'));
}

void Writer::write_once() {
    const bool is_delete = draw(6) == 0;
    if (draw(4) == 0) {
        return write_after_reading(fmt::format("shared/{}", draw(shared_keys)), is_delete);
    }
    const std::string key = fmt::format("own/{}/{}", number_, draw(own_keys));
    if (manner_ == Manner::read_first) {
        return write_after_reading(key, is_delete);
    }
    write_own(key, is_delete);
}

absl::StatusOr<v1::WriteResponse> Writer::send(const std::string& key,
                                               const std::string& value,
                                               client::WriteOptions options) {
    return value.empty() ? client_.del(key, std::move(options))
                         : client_.put(key, value, std::move(options));
}

void Writer::write_after_reading(const std::string& key, bool is_delete) {
    const auto read = client_.get(key);
    if (!read.ok()) {
        return;
    }
    Write write{.value = is_delete ? "" : next_value()};
    for (const v1::Value& seen : read->values()) {
        write.replaces.insert(seen.value());
    }
    write.outcome = outcome_of(send(key, write.value, {.context = read->context()}));
    ledger_.add(key, std::move(write));
}

void Writer::write_own(const std::string& key, bool is_delete) {
    Own& own = own_[key];
    client::WriteOptions options;
    if (manner_ == Manner::chained) {
        options.context = own.context;
    } else if (manner_ == Manner::strict) {
        options.request.sloppy = false;
    }
    Write write{.value = is_delete ? "" : next_value()};
    const auto written = send(key, write.value, std::move(options));
    write.outcome = outcome_of(written);
    const bool is_hinted = written.ok() && written->receipt().seats_hinted() > 0;
    write.replaces = manner_ == Manner::chained ? own.before
                     : is_hinted                ? std::set<std::string>{}
                                                : own.sure;
    if (manner_ != Manner::chained) {
        write.may_replace = own.before;
    }
    if (!write.value.empty() && (manner_ != Manner::chained || written.ok())) {
        own.before.insert(write.value);
    }
    if (written.ok()) {
        own.context = written->context();
        if (!is_hinted && !write.value.empty()) {
            own.sure.insert(write.value);
        }
    }
    ledger_.add(key, std::move(write));
}

}  // namespace starling::cluster_test
