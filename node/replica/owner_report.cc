#include "node/replica/owner_report.h"

namespace starling::node {

void put_report(const OwnerReport& report, peer::EntropyReport& out) {
    out.set_tenure(report.tenure);
    out.set_wall_ms(report.wall_ms);
    out.set_asks(report.asks);
    out.set_answers(report.known.question);
    put_starts(report.known.frozen, *out.mutable_frozen());
    out.set_epoch(report.known.epoch);
    for (const auto& [node, epoch] : report.known.epochs) {
        if (epoch == 0) continue;
        peer::EntropyEpoch& added = *out.add_epochs();
        added.set_node(node.raw());
        added.set_epoch(epoch);
    }
}

OwnerReport read_report(const peer::EntropyReport& in) {
    OwnerReport report{
        .tenure = in.tenure(), .wall_ms = in.wall_ms(), .asks = in.asks(), .known = {}};
    report.known.question = in.answers();
    report.known.frozen = read_starts(in.frozen());
    report.known.epoch = in.epoch();
    for (const peer::EntropyEpoch& entry : in.epochs()) {
        report.known.epochs[base::NodeId(entry.node())] = entry.epoch();
    }
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
