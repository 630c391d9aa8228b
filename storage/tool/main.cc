// starling-storage: looks into a data directory of the storage engine, offline, and changes
// nothing but, when told to, the master key of one that is encrypted.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/out_of_memory.h"
#include "base/status_macros.h"
#include "env/encrypted/file_system.h"
#include "env/encrypted/master_key.h"
#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/random.h"
#include "env/posix/workers.h"
#include "storage/tool/change_key.h"
#include "storage/tool/commands.h"

namespace {

namespace env = starling::env;
namespace tool = starling::storage::tool;

constexpr int exit_damaged = 1;
constexpr int exit_usage = 64;
constexpr int exit_refused = 65;

struct Arguments {
    std::string directory;
    std::string key_file;
    std::string new_key_file;
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
    command->add_option(
        "--key-file",
        arguments.key_file,
        "master key of an encrypted directory; without it $STARLING_ENCRYPTION_KEY");
    return command;
}

CLI::App* add_output_command(CLI::App& app,
                             const std::string& name,
                             const std::string& description,
                             Arguments& arguments) {
    CLI::App* const command = add_command(app, name, description, arguments);
    command->add_option("--output", arguments.output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    return command;
}

absl::StatusOr<std::optional<env::MasterKey>> find_key(env::FileSystem& files,
                                                       const std::string& key_file) {
    const char* const value = std::getenv(env::master_key_variable);
    return env::find_master_key(
        files,
        {.file = key_file,
         .from_environment = value == nullptr ? std::nullopt : std::optional<std::string>(value)});
}

absl::Status change_key(const Arguments& arguments) {
    env::PosixFileSystem files;
    env::PosixRandom random;
    STARLING_ASSIGN_OR_RETURN(const auto present, find_key(files, arguments.key_file));
    if (!present.has_value()) {
        return absl::FailedPreconditionError(
            fmt::format("the key that the directory has now is needed: --key-file or ${}",
                        env::master_key_variable));
    }
    STARLING_ASSIGN_OR_RETURN(const env::MasterKey next,
                              env::load_master_key(files, arguments.new_key_file));
    STARLING_ASSIGN_OR_RETURN(const uint64_t count,
                              tool::change_key(files, random, arguments.directory, *present, next));
    std::cout << fmt::format(
        "{} files are under master key {} now\n", count, env::to_string(next.id()));
    return absl::OkStatus();
}

absl::Status look(const CLI::App& app, const Arguments& arguments) {
    env::PosixFileSystem disk;
    env::PosixRandom random;
    STARLING_ASSIGN_OR_RETURN(const auto key, find_key(disk, arguments.key_file));
    std::optional<env::EncryptedFileSystem> encrypted;
    if (key.has_value()) {
        encrypted.emplace(disk, random, env::KeyRing(*key));
    }
    env::FileSystem& files =
        encrypted.has_value() ? static_cast<env::FileSystem&>(*encrypted) : disk;
    env::PosixClock clock;
    env::PosixWallClock wall_clock;
    // Read-only engines have no jobs.
    env::PosixWorkers workers(1);
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
    workers.stop(env::PosixWorkers::Queued::drop);
    return status;
}

absl::Status run(const CLI::App& app, const Arguments& arguments) {
    return app.got_subcommand("change-key") ? change_key(arguments) : look(app, arguments);
}

int run_tool(int argc, char** argv) {
    CLI::App app(
        "Looks into a data directory of the storage engine, and changes nothing; change-key "
        "changes the master key of an encrypted one.");
    app.require_subcommand(1);
    Arguments arguments;
    add_output_command(app, "inspect", "engine, format, files, levels", arguments);
    add_output_command(
        app, "verify", "checks every checksum; names file and offset of damage", arguments);
    add_output_command(app, "stats", "what the engine counts", arguments);
    CLI::App* const dump = add_output_command(app, "dump", "keys and values, in order", arguments);
    dump->add_flag("--keys-only", arguments.dump.keys_only, "no values");
    dump->add_flag("--hex", arguments.dump.hex, "hexadecimal instead of escaped");
    dump->add_option("--prefix", arguments.dump.prefix, "only keys that begin with it");
    dump->add_option("--limit", arguments.dump.limit, "at most so many keys; 0: all");
    add_command(app, "change-key", "wraps every file's key by another master key", arguments)
        ->add_option("--new-key-file", arguments.new_key_file, "the master key it gets")
        ->required();
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

}  // namespace

int main(int argc, char** argv) {
    starling::base::say_when_memory_runs_out();
    try {
        return run_tool(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "starling-storage: %s\n", error.what());
        return exit_refused;
    }
}
