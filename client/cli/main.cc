// starling: the command line.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::ios::sync_with_stdio(false);
    std::error_code error;
    const std::string directory = std::filesystem::current_path(error).string();
    const std::string executable = std::filesystem::read_symlink("/proc/self/exe", error).string();
    starling::client::Terminal terminal{.in = std::cin,
                                        .out = std::cout,
                                        .err = std::cerr,
                                        .variable =
                                            [](const char* name) {
                                                const char* value = std::getenv(name);
                                                return std::string(value == nullptr ? "" : value);
                                            },
                                        .working_directory = directory,
                                        .executable = executable};
    const int code =
        starling::client::run_starling(std::vector<std::string>(argv + 1, argv + argc), terminal);
    std::cout.flush();
    if (!std::cout) {
        std::cerr << "starling: standard output cannot be written\n";
        return code == 0 ? starling::client::exit_internal : code;
    }
    return code;
}
