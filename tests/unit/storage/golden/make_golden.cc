// make_golden ENGINE DIRECTORY: writes the data directory and, beside it, DIRECTORY.contents, which
// are kept as what this version of the format looks like. golden_test.cc opens them for ever after;
// a new format gets new ones, and the old ones stay.

#include <cstdio>
#include <filesystem>

#include "env/posix/file_system.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

class Maker {
  public:
    Maker(const std::string& engine, const std::string& directory)
        : engine_(*open_engine(directory, small_options(engine), environment(files_, workers_))) {}

    // Tables in several levels, or several data files, and behind them changes in the log alone:
    // each kind of change in both places.
    void run() {
        for (int i = 0; i < 400; ++i) {
            put(i % 150,
                fmt::format("value {} {}", i, std::string(static_cast<size_t>(i % 40), 'x')));
        }
        all_kinds(0);
        must(engine_->sync());
        workers_.run_all();
        for (int i = 400; i < 600; ++i) {
            put(150 + i % 50, fmt::format("value {}", i));
        }
        workers_.run_all();
        all_kinds(50);
        must(engine_->sync());
    }

    std::string contents() {
        std::string text;
        const Model model = *storage::contents(*engine_);
        for (const auto& [key, value] : model) {
            text += fmt::format("{}\t{}\n", key, value);
        }
        return text;
    }

  private:
    static std::string key(int i) { return fmt::format("key-{:04}", i); }
    static void must(const absl::Status& status) {
        if (!status.ok()) {
            fmt::print(stderr, "{}\n", status.ToString());
            std::exit(1);
        }
    }

    void put(int i, const std::string& value) {
        WriteBatch batch;
        batch.put(key(i), value);
        must(write_patiently(*engine_, workers_, batch));
    }
    void all_kinds(int from) {
        const ManualClock clock;
        WriteBatch batch;
        for (int i = from; i < from + 5; ++i) {
            batch.put(key(i), "expires", clock.wall_now() + std::chrono::hours(24 * 365));
            batch.put(key(i + 5), "has expired", clock.wall_now() - std::chrono::hours(1));
        }
        batch.remove(key(from + 10));
        batch.remove_range(key(from + 20), key(from + 25));
        batch.put(key(from + 22), "after the range removal");
        batch.remove_range(key(900 + from), "");
        must(engine_->write(batch));
    }

    env::PosixFileSystem files_;
    QueueWorkers workers_;
    const std::unique_ptr<Engine> engine_;
};

}  // namespace
}  // namespace starling::storage

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "usage: make_golden ENGINE DIRECTORY\n");
        return 64;
    }
    const std::string directory = argv[2];
    starling::storage::Maker maker(argv[1], directory);
    maker.run();
    starling::env::PosixFileSystem files;
    const auto status =
        starling::env::replace_file(files, directory + ".contents", maker.contents());
    if (!status.ok()) {
        fmt::print(stderr, "{}\n", status.ToString());
        return 1;
    }
    // Not closed: what is in the log stays there.
    return 0;
}
