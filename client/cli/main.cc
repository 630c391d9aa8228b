// starling: the command line.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <streambuf>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"

namespace {

// Stands for the standard streams that the caller has closed.
class ClosedStream final : public std::streambuf {
  protected:
    int_type underflow() override {
        throw std::ios_base::failure("closed",
                                     std::make_error_code(std::errc::bad_file_descriptor));
    }
};

// A library may have opened something else under the number of a closed stream before main(). That
// is not for programs that are executed; what the caller gave has come to one.
bool is_given(int stream) {
    const int flags = ::fcntl(stream, F_GETFD);
    return flags != -1 && (flags & FD_CLOEXEC) == 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::ios::sync_with_stdio(false);
    std::error_code error;
    const std::string directory = std::filesystem::current_path(error).string();
    const std::string executable = std::filesystem::read_symlink("/proc/self/exe", error).string();
    ClosedStream nothing;
    std::iostream closed(&nothing);
    starling::client::Terminal terminal{.in = is_given(STDIN_FILENO) ? std::cin : closed,
                                        .out = is_given(STDOUT_FILENO) ? std::cout : closed,
                                        .err = is_given(STDERR_FILENO) ? std::cerr : closed,
                                        .variable =
                                            [](const char* name) {
                                                const char* value = std::getenv(name);
                                                return std::string(value == nullptr ? "" : value);
                                            },
                                        .working_directory = directory,
                                        .executable = executable};
    const int code =
        starling::client::run_starling(std::vector<std::string>(argv + 1, argv + argc), terminal);
    terminal.out.flush();
    if (!terminal.out) {
        terminal.err << "starling: standard output cannot be written\n";
        return code == 0 ? starling::client::exit_internal : code;
    }
    return code;
}
