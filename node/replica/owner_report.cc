#include "node/replica/owner_report.h"

namespace starling::node {

void put_report(const OwnerReport& report, peer::EntropyReport& out) {
    out.set_tenure(report.tenure);
    out.set_wall_ms(report.wall_ms);
    out.set_asks(report.asks);
    out.set_answers(report.known.question);
    put_starts(report.known.frozen, *out.mutable_frozen());
}

OwnerReport read_report(const peer::EntropyReport& in) {
    OwnerReport report{
        .tenure = in.tenure(), .wall_ms = in.wall_ms(), .asks = in.asks(), .known = {}};
    report.known.question = in.answers();
    report.known.frozen = read_starts(in.frozen());
    return report;
}

void put_starts(const Starts& starts, StartList& out) {
    for (const auto& [node, start] : starts) {
        peer::EntropyStart& added = *out.Add();
        added.set_node(node.raw());
        added.set_start(start);
    }
}

Starts read_starts(const StartList& in) {
    Starts starts;
    for (const peer::EntropyStart& entry : in)
        starts[base::NodeId(entry.node())] = entry.start();
    return starts;
}

}  // namespace starling::node
