// The doors over a fake node as a process of its own, for tests of what a process may run out of.
// Prints the gRPC and the HTTP address on one line, serves until its standard input ends, then
// stops in order.
//
// door_server CONNECTIONS_MAX

#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/unit/node/doors/door_fixture.h"

int main(int argc, char** argv) {
    starling::node::GrpcDoorOptions options;
    options.connections_max = argc > 1 ? static_cast<size_t>(std::atoi(argv[1])) : 64;
    // Raw connections that never speak are to be kept for the whole test.
    options.handshake_timeout = std::chrono::seconds(600);
    starling::node::Doors doors(options);
    std::cout << doors.grpc_listener->address() << ' ' << doors.http_listener->address()
              << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
    }
    const bool is_drained = doors.grpc->drain(std::chrono::seconds(2));
    doors.grpc->shutdown();
    return is_drained ? 0 : 1;
}
