// starling-storage: looks into a data directory of the storage engine, offline, and changes
// nothing.

#include <iostream>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/workers.h"
#include "storage/tool/commands.h"

namespace {

namespace tool = starling::storage::tool;

constexpr int exit_damaged = 1;
constexpr int exit_usage = 64;
constexpr int exit_refused = 65;

struct Arguments {
    std::string directory;
    std::string output = "text";
    tool::DumpOptions dump;
};

int report(const absl::Status& status) {
    if (status.ok()) {
        return 0;
    }
    std::cerr << "starling-storage: " << status.message() << '\n';
    return absl::IsDataLoss(status) ? exit_damaged : exit_refused;
}

CLI::App* add_command(CLI::App& app,
                      const std::string& name,
                      const std::string& description,
                      Arguments& arguments) {
    CLI::App* const command = app.add_subcommand(name, description);
    command->add_option("PATH", arguments.directory, "the data directory")->required();
    command->add_option("--output", arguments.output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    return command;
}

absl::Status run(const CLI::App& app, const Arguments& arguments) {
    starling::env::PosixFileSystem files;
    starling::env::PosixClock clock;
    starling::env::PosixWallClock wall_clock;
    // Read-only engines have no jobs.
    starling::env::PosixWorkers workers(1);
    const starling::storage::EngineEnvironment environment{
        .files = files, .workers = workers, .clock = clock, .wall_clock = wall_clock};
    const tool::Output output{.out = std::cout, .json = arguments.output == "json"};
    absl::Status status;
    if (app.got_subcommand("inspect")) {
        status = tool::inspect(files, arguments.directory, output);
    } else if (app.got_subcommand("verify")) {
        status = tool::verify(files, arguments.directory, output);
    } else if (app.got_subcommand("dump")) {
        status = tool::dump(environment, arguments.directory, arguments.dump, output);
    } else {
        status = tool::stats(environment, arguments.directory, output);
    }
    workers.stop(starling::env::PosixWorkers::Queued::drop);
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Looks into a data directory of the storage engine, and changes nothing.");
    app.require_subcommand(1);
    Arguments arguments;
    add_command(app, "inspect", "engine, format, files, levels", arguments);
    add_command(app, "verify", "checks every checksum; names file and offset of damage", arguments);
    add_command(app, "stats", "what the engine counts", arguments);
    CLI::App* const dump = add_command(app, "dump", "keys and values, in order", arguments);
    dump->add_flag("--keys-only", arguments.dump.keys_only, "no values");
    dump->add_flag("--hex", arguments.dump.hex, "hexadecimal instead of escaped");
    dump->add_option("--prefix", arguments.dump.prefix, "only keys that begin with it");
    dump->add_option("--limit", arguments.dump.limit, "at most so many keys; 0: all");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : exit_usage;
    }
    const int code = report(run(app, arguments));
    std::cout.flush();
    if (!std::cout) {
        std::cerr << "starling-storage: standard output cannot be written\n";
        return code == 0 ? exit_refused : code;
    }
    return code;
}
