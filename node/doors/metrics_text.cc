#include "node/doors/metrics_text.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace starling::node {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

struct Sample {
    std::string name;
    Labels labels;
};

// `name{label="value",...}`; nothing when it is not of that form.
std::optional<Sample> parse_sample(const std::string& text) {
    const size_t brace = text.find('{');
    Sample sample{.name = text.substr(0, brace), .labels = {}};
    if (brace == std::string::npos) {
        return sample;
    }
    size_t at = brace + 1;
    while (at < text.size() && text[at] != '}') {
        const size_t equals = text.find("=\"", at);
        const size_t end = equals == std::string::npos ? equals : text.find('"', equals + 2);
        if (end == std::string::npos) {
            return std::nullopt;
        }
        sample.labels.push_back({.name = text.substr(at, equals - at),
                                 .value = text.substr(equals + 2, end - equals - 2)});
        at = end + 1;
        if (at < text.size() && text[at] == ',') {
            ++at;
        }
    }
    return at + 1 == text.size() ? std::optional(std::move(sample)) : std::nullopt;
}

// Families by name, so that a name's samples stand together, as the format demands.
class Page {
  public:
    void add(const std::string& name, MetricType type, const char* help, ClientMetric metric) {
        MetricFamily& family = families_[name];
        family.name = name;
        family.type = type;
        family.help = help;
        family.metric.push_back(std::move(metric));
    }
    void counter(const std::string& name, const char* help, Labels labels, double value) {
        ClientMetric metric;
        metric.label = std::move(labels);
        metric.counter.value = value;
        add(name, MetricType::Counter, help, std::move(metric));
    }
    void gauge(const std::string& name, const char* help, Labels labels, double value) {
        ClientMetric metric;
        metric.label = std::move(labels);
        metric.gauge.value = value;
        add(name, MetricType::Gauge, help, std::move(metric));
    }
    std::string text() {
        std::vector<MetricFamily> families;
        families.reserve(families_.size());
        for (auto& [name, family] : families_) {
            families.push_back(std::move(family));
        }
        return prometheus::TextSerializer().Serialize(families);
    }

  private:
    std::map<std::string, MetricFamily> families_;
};

void add_method(Page& page, Method method, const DoorMetrics::MethodCounts& counts) {
    const std::string name(to_string(method));
    for (size_t code = 0; code < DoorMetrics::code_count; ++code) {
        const uint64_t count = counts.by_code[code].load(std::memory_order_relaxed);
        if (count != 0) {
            page.counter("starling_requests_total",
                         "Requests answered, sub-requests of batches among them.",
                         {{"method", name}, {"code", std::string(code_name(code))}},
                         static_cast<double>(count));
        }
    }
    ClientMetric metric;
    metric.label = {{"method", name}};
    uint64_t cumulative = 0;
    for (size_t bucket = 0; bucket < DoorMetrics::bucket_count; ++bucket) {
        cumulative += counts.by_duration[bucket].load(std::memory_order_relaxed);
        metric.histogram.bucket.push_back({.cumulative_count = cumulative,
                                           .upper_bound = DoorMetrics::bucket_seconds_max(bucket)});
    }
    metric.histogram.sample_count = cumulative;
    metric.histogram.sample_sum =
        static_cast<double>(counts.nanoseconds.load(std::memory_order_relaxed)) * 1e-9;
    page.add("starling_request_seconds",
             MetricType::Histogram,
             "From a request's arrival to its answer.",
             std::move(metric));
}

void add_connections(Page& page, const char* door, const ConnectionCounts& counts) {
    const auto value = [](const std::atomic<uint64_t>& count) {
        return static_cast<double>(count.load(std::memory_order_relaxed));
    };
    page.gauge("starling_connections", "Open connections.", {{"door", door}}, value(counts.open));
    page.counter("starling_connections_accepted_total",
                 "Connections accepted.",
                 {{"door", door}},
                 value(counts.accepted));
    page.counter("starling_connections_refused_total",
                 "Connections closed at once: too many were open.",
                 {{"door", door}},
                 value(counts.refused));
}

void add_doors(Page& page, const DoorState& doors) {
    for (size_t method = 0; method < method_count; ++method) {
        add_method(
            page, static_cast<Method>(method), doors.metrics.of(static_cast<Method>(method)));
    }
    add_connections(page, "grpc", doors.grpc_connections);
    add_connections(page, "http", doors.http_connections);
    page.gauge("starling_requests_in_flight",
               "Requests handed to the node, and results not yet sent.",
               {},
               static_cast<double>(doors.admission.requests()));
    page.gauge("starling_request_bytes_in_flight",
               "Bytes of those.",
               {},
               static_cast<double>(doors.admission.bytes()));
    page.counter("starling_requests_refused_total",
                 "Requests refused because the doors were at their limit.",
                 {},
                 static_cast<double>(doors.admission.refused()));
    page.gauge("starling_batch_streams",
               "Open Batch streams.",
               {},
               static_cast<double>(doors.metrics.batch_streams.load(std::memory_order_relaxed)));
    page.gauge("starling_ready", "1 while the node takes requests.", {}, doors.is_ready() ? 1 : 0);
}

}  // namespace

std::string to_metrics_text(const StatusReport& report, const DoorState& doors) {
    Page page;
    add_doors(page, doors);
    for (const auto& [key, value] : report.metrics) {
        std::optional<Sample> sample = parse_sample(key);
        if (!sample.has_value()) {
            continue;
        }
        if (sample->name.ends_with("_total")) {
            page.counter(sample->name, "", std::move(sample->labels), value);
        } else {
            page.gauge(sample->name, "", std::move(sample->labels), value);
        }
    }
    for (const MemoryShare& share : report.memory) {
        const Labels labels = {{"part", share.what}};
        page.gauge("starling_memory_bytes",
                   "Memory in use.",
                   labels,
                   static_cast<double>(share.bytes_used));
        page.gauge("starling_memory_bytes_max",
                   "The part's share of the node's memory.",
                   labels,
                   static_cast<double>(share.bytes_max));
    }
    return page.text();
}

}  // namespace starling::node
