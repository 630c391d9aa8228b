#include "storage/c/starling_storage.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include <fmt/format.h>

#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/workers.h"
#include "storage/open.h"
#include "storage/operations.h"
#include "storage/statistics.h"

namespace storage = starling::storage;

namespace {

// One for the flush, one for the compaction that it must not wait for.
constexpr size_t worker_threads = 2;

// Iterators and snapshots share it, so objects may be freed in any order.
struct Core {
    ~Core() {
        engine.reset();
        workers.stop(starling::env::PosixWorkers::Queued::drop);
    }

    starling::env::PosixFileSystem files;
    starling::env::PosixWorkers workers{worker_threads};
    starling::env::PosixClock clock;
    starling::env::PosixWallClock wall_clock;
    std::unique_ptr<storage::Engine> engine;
    std::atomic<bool> closed = false;
};

}  // namespace

struct starling_storage {
    std::shared_ptr<Core> core;
};
struct starling_storage_options {
    storage::EngineOptions engine;
};
struct starling_storage_batch {
    storage::WriteBatch changes;
};
// The members go in the opposite order: what the engine gave before the engine.
struct starling_storage_snapshot {
    std::shared_ptr<Core> core;
    std::unique_ptr<storage::Snapshot> view;
};
struct starling_storage_iterator {
    std::shared_ptr<Core> core;
    std::unique_ptr<storage::Iterator> entries;
};

namespace {

std::string& error_text() {
    thread_local std::string text;
    return text;
}

starling_storage_code code_of(absl::StatusCode code) {
    switch (code) {
        case absl::StatusCode::kOk:
            return STARLING_STORAGE_OK;
        case absl::StatusCode::kInvalidArgument:
        case absl::StatusCode::kOutOfRange:
            return STARLING_STORAGE_INVALID_ARGUMENT;
        case absl::StatusCode::kNotFound:
            return STARLING_STORAGE_NOT_FOUND;
        case absl::StatusCode::kAlreadyExists:
            return STARLING_STORAGE_ALREADY_EXISTS;
        case absl::StatusCode::kAborted:
            return STARLING_STORAGE_ABORTED;
        case absl::StatusCode::kFailedPrecondition:
            return STARLING_STORAGE_FAILED_PRECONDITION;
        case absl::StatusCode::kResourceExhausted:
            return STARLING_STORAGE_RESOURCE_EXHAUSTED;
        case absl::StatusCode::kUnavailable:
            return STARLING_STORAGE_UNAVAILABLE;
        case absl::StatusCode::kDataLoss:
            return STARLING_STORAGE_DATA_LOSS;
        case absl::StatusCode::kPermissionDenied:
            return STARLING_STORAGE_PERMISSION_DENIED;
        case absl::StatusCode::kUnimplemented:
            return STARLING_STORAGE_UNIMPLEMENTED;
        default:
            return STARLING_STORAGE_INTERNAL;
    }
}

starling_storage_code fail(starling_storage_code code, std::string_view text) {
    error_text().assign(text);
    return code;
}

// Short enough to need no memory itself.
starling_storage_code out_of_memory() {
    return fail(STARLING_STORAGE_OUT_OF_MEMORY, "no memory left");
}

// What C cannot catch does not leave here. A length that no memory could hold counts as too much of
// it, too.
template <typename Body>
starling_storage_code guarded(Body&& body) noexcept {
    try {
        return std::forward<Body>(body)();
    } catch (const std::bad_alloc&) {
        return out_of_memory();
    } catch (const std::length_error&) {
        return out_of_memory();
    }
}

starling_storage_code result(const absl::Status& status) {
    if (status.ok()) {
        return STARLING_STORAGE_OK;
    }
    const absl::string_view message = status.message();
    return fail(code_of(status.code()), {message.data(), message.size()});
}

starling_storage_code null_argument(std::string_view name) {
    return guarded(
        [&] { return fail(STARLING_STORAGE_INVALID_ARGUMENT, fmt::format("{} is NULL", name)); });
}

starling_storage_code closed() {
    return fail(STARLING_STORAGE_FAILED_PRECONDITION, "the storage engine is closed");
}

bool is_bytes(const char* bytes, size_t length) {
    return bytes != nullptr || length == 0;
}

std::string_view view(const char* bytes, size_t length) {
    return length == 0 ? std::string_view() : std::string_view(bytes, length);
}

char* copy_out(std::string_view bytes) {
    // One more, so that no empty value is NULL, and that text ends.
    auto* const copy = static_cast<char*>(std::malloc(bytes.size() + 1));
    if (copy == nullptr) {
        throw std::bad_alloc();
    }
    if (!bytes.empty()) {
        std::memcpy(copy, bytes.data(), bytes.size());
    }
    copy[bytes.size()] = '\0';
    return copy;
}

void put(storage::WriteBatch& batch,
         std::string_view key,
         std::string_view value,
         uint64_t expiry_ms) {
    if (expiry_ms == storage::never) {
        batch.put(key, value);
    } else {
        batch.put(key, value, storage::to_wall_time(expiry_ms));
    }
}

// Calls `use` with the engine of an object that is there and open.
template <typename Object, typename Use>
starling_storage_code with_engine(const Object* object, Use&& use) {
    return guarded([&] {
        if (object == nullptr) {
            return null_argument("the storage engine");
        }
        if (object->core->closed) {
            return closed();
        }
        return std::forward<Use>(use)(*object->core->engine);
    });
}

// The snapshot that a read is to use; an error when it is of another engine.
absl::Status check_snapshot(const starling_storage& storage,
                            const starling_storage_snapshot* snapshot) {
    return snapshot == nullptr || snapshot->core == storage.core
               ? absl::OkStatus()
               : absl::InvalidArgumentError("the snapshot is of another storage engine");
}

const storage::Snapshot* view_of(const starling_storage_snapshot* snapshot) {
    return snapshot == nullptr ? nullptr : snapshot->view.get();
}

bool is_valid(const starling_storage_iterator* iterator) {
    return iterator != nullptr && !iterator->core->closed && iterator->entries->valid();
}

template <typename Move>
starling_storage_code move(starling_storage_iterator* iterator, Move&& how) {
    return guarded([&] {
        if (iterator == nullptr) {
            return null_argument("the iterator");
        }
        if (iterator->core->closed) {
            return closed();
        }
        std::forward<Move>(how)(*iterator->entries);
        return result(iterator->entries->status());
    });
}

template <typename Move>
starling_storage_code step(starling_storage_iterator* iterator, Move&& how) {
    if (iterator != nullptr && !iterator->core->closed && !iterator->entries->valid()) {
        return guarded([] {
            return fail(STARLING_STORAGE_FAILED_PRECONDITION, "the iterator stands on no key");
        });
    }
    return move(iterator, std::forward<Move>(how));
}

const char* show(std::string_view bytes, size_t* length) {
    *length = bytes.size();
    return bytes.data() == nullptr ? "" : bytes.data();
}

}  // namespace

const char* starling_storage_error_text(void) {
    return error_text().c_str();
}

const char* starling_storage_code_name(starling_storage_code code) {
    switch (code) {
        case STARLING_STORAGE_OK:
            return "ok";
        case STARLING_STORAGE_INVALID_ARGUMENT:
            return "invalid_argument";
        case STARLING_STORAGE_NOT_FOUND:
            return "not_found";
        case STARLING_STORAGE_ALREADY_EXISTS:
            return "already_exists";
        case STARLING_STORAGE_ABORTED:
            return "aborted";
        case STARLING_STORAGE_FAILED_PRECONDITION:
            return "failed_precondition";
        case STARLING_STORAGE_RESOURCE_EXHAUSTED:
            return "resource_exhausted";
        case STARLING_STORAGE_UNAVAILABLE:
            return "unavailable";
        case STARLING_STORAGE_DATA_LOSS:
            return "data_loss";
        case STARLING_STORAGE_PERMISSION_DENIED:
            return "permission_denied";
        case STARLING_STORAGE_UNIMPLEMENTED:
            return "unimplemented";
        case STARLING_STORAGE_INTERNAL:
            return "internal";
        case STARLING_STORAGE_OUT_OF_MEMORY:
            return "out_of_memory";
    }
    return "unknown";
}

void starling_storage_bytes_free(char* bytes) {
    std::free(bytes);
}

starling_storage_options* starling_storage_options_create(void) {
    auto* const options = new (std::nothrow) starling_storage_options;
    if (options == nullptr) {
        out_of_memory();
        return nullptr;
    }
    options->engine.engine.clear();
    return options;
}

void starling_storage_options_free(starling_storage_options* options) {
    delete options;
}

starling_storage_code starling_storage_options_set_engine(starling_storage_options* options,
                                                          const char* engine) {
    if (options == nullptr || engine == nullptr) {
        return null_argument(options == nullptr ? "options" : "engine");
    }
    return guarded([&] {
        options->engine.engine = engine;
        return STARLING_STORAGE_OK;
    });
}

starling_storage_code starling_storage_options_set_read_only(starling_storage_options* options,
                                                             int read_only) {
    if (options == nullptr) {
        return null_argument("options");
    }
    options->engine.read_only = read_only != 0;
    return STARLING_STORAGE_OK;
}

starling_storage_code starling_storage_options_set_memory_bytes_max(
    starling_storage_options* options, uint64_t bytes) {
    if (options == nullptr) {
        return null_argument("options");
    }
    options->engine.memory_bytes_max = bytes;
    return STARLING_STORAGE_OK;
}

starling_storage_code starling_storage_options_set_block_cache_bytes(
    starling_storage_options* options, uint64_t bytes) {
    if (options == nullptr) {
        return null_argument("options");
    }
    options->engine.block_cache_bytes = bytes;
    return STARLING_STORAGE_OK;
}

starling_storage_code starling_storage_open(const char* path,
                                            const starling_storage_options* options,
                                            starling_storage** storage) {
    if (storage == nullptr) {
        return null_argument("storage");
    }
    *storage = nullptr;
    if (path == nullptr) {
        return null_argument("path");
    }
    return guarded([&] {
        storage::EngineOptions chosen;
        chosen.engine.clear();
        if (options != nullptr) {
            chosen = options->engine;
        }
        auto core = std::make_shared<Core>();
        auto engine = storage::open_engine(path,
                                           chosen,
                                           {.files = core->files,
                                            .workers = core->workers,
                                            .clock = core->clock,
                                            .wall_clock = core->wall_clock});
        if (!engine.ok()) {
            return result(engine.status());
        }
        core->engine = *std::move(engine);
        *storage = new starling_storage{.core = std::move(core)};
        return STARLING_STORAGE_OK;
    });
}

starling_storage_code starling_storage_close(starling_storage* storage) {
    if (storage == nullptr) {
        return null_argument("storage");
    }
    return guarded([&] {
        if (storage->core->closed.exchange(true)) {
            return closed();
        }
        return result(storage->core->engine->close());
    });
}

void starling_storage_free(starling_storage* storage) {
    delete storage;
}

starling_storage_code starling_storage_put(starling_storage* storage,
                                           const char* key,
                                           size_t key_length,
                                           const char* value,
                                           size_t value_length) {
    return starling_storage_put_with_expiry(
        storage, key, key_length, value, value_length, storage::never);
}

starling_storage_code starling_storage_put_with_expiry(starling_storage* storage,
                                                       const char* key,
                                                       size_t key_length,
                                                       const char* value,
                                                       size_t value_length,
                                                       uint64_t expiry_ms) {
    starling_storage_batch batch;
    const starling_storage_code code =
        starling_storage_batch_put(&batch, key, key_length, value, value_length, expiry_ms);
    return code == STARLING_STORAGE_OK ? starling_storage_write(storage, &batch, 0) : code;
}

starling_storage_code starling_storage_put_if(starling_storage* storage,
                                              const char* key,
                                              size_t key_length,
                                              const char* expected,
                                              size_t expected_length,
                                              const char* value,
                                              size_t value_length) {
    return guarded([&] {
        if (!is_bytes(expected, expected_length)) {
            return null_argument("expected");
        }
        starling_storage_batch batch;
        const starling_storage_code code = starling_storage_batch_put(
            &batch, key, key_length, value, value_length, storage::never);
        if (code != STARLING_STORAGE_OK) {
            return code;
        }
        storage::Condition condition;
        condition.key = view(key, key_length);
        if (expected != nullptr) {
            condition.expected.emplace(view(expected, expected_length));
        }
        return with_engine(storage, [&](storage::Engine& engine) {
            return result(engine.write_if({&condition, 1}, batch.changes));
        });
    });
}

starling_storage_code starling_storage_delete(starling_storage* storage,
                                              const char* key,
                                              size_t key_length) {
    starling_storage_batch batch;
    const starling_storage_code code = starling_storage_batch_delete(&batch, key, key_length);
    return code == STARLING_STORAGE_OK ? starling_storage_write(storage, &batch, 0) : code;
}

starling_storage_code starling_storage_get(starling_storage* storage,
                                           const starling_storage_snapshot* snapshot,
                                           const char* key,
                                           size_t key_length,
                                           char** value,
                                           size_t* value_length) {
    if (value == nullptr || value_length == nullptr) {
        return null_argument(value == nullptr ? "value" : "value_length");
    }
    *value = nullptr;
    *value_length = 0;
    return with_engine(storage, [&](storage::Engine& engine) {
        if (!is_bytes(key, key_length)) {
            return null_argument("key");
        }
        if (absl::Status status = check_snapshot(*storage, snapshot); !status.ok()) {
            return result(status);
        }
        const auto found = engine.get(view(key, key_length), view_of(snapshot));
        if (!found.ok()) {
            return result(found.status());
        }
        if (!found->has_value()) {
            return fail(STARLING_STORAGE_NOT_FOUND, "the key is absent");
        }
        *value = copy_out(**found);
        *value_length = (*found)->size();
        return STARLING_STORAGE_OK;
    });
}

starling_storage_batch* starling_storage_batch_create(void) {
    auto* const batch = new (std::nothrow) starling_storage_batch;
    if (batch == nullptr) {
        out_of_memory();
    }
    return batch;
}

void starling_storage_batch_free(starling_storage_batch* batch) {
    delete batch;
}

starling_storage_code starling_storage_batch_put(starling_storage_batch* batch,
                                                 const char* key,
                                                 size_t key_length,
                                                 const char* value,
                                                 size_t value_length,
                                                 uint64_t expiry_ms) {
    if (batch == nullptr) {
        return null_argument("batch");
    }
    if (!is_bytes(key, key_length) || !is_bytes(value, value_length)) {
        return null_argument(!is_bytes(key, key_length) ? "key" : "value");
    }
    return guarded([&] {
        put(batch->changes, view(key, key_length), view(value, value_length), expiry_ms);
        return STARLING_STORAGE_OK;
    });
}

starling_storage_code starling_storage_batch_delete(starling_storage_batch* batch,
                                                    const char* key,
                                                    size_t key_length) {
    if (batch == nullptr || !is_bytes(key, key_length)) {
        return null_argument(batch == nullptr ? "batch" : "key");
    }
    return guarded([&] {
        batch->changes.remove(view(key, key_length));
        return STARLING_STORAGE_OK;
    });
}

starling_storage_code starling_storage_batch_delete_range(starling_storage_batch* batch,
                                                          const char* begin,
                                                          size_t begin_length,
                                                          const char* end,
                                                          size_t end_length) {
    if (batch == nullptr) {
        return null_argument("batch");
    }
    if (!is_bytes(begin, begin_length) || !is_bytes(end, end_length)) {
        return null_argument(!is_bytes(begin, begin_length) ? "begin" : "end");
    }
    return guarded([&] {
        batch->changes.remove_range(view(begin, begin_length), view(end, end_length));
        return STARLING_STORAGE_OK;
    });
}

starling_storage_code starling_storage_batch_clear(starling_storage_batch* batch) {
    if (batch == nullptr) {
        return null_argument("batch");
    }
    batch->changes.clear();
    return STARLING_STORAGE_OK;
}

starling_storage_code starling_storage_write(starling_storage* storage,
                                             const starling_storage_batch* batch,
                                             int sync) {
    if (storage != nullptr && batch == nullptr) {
        return null_argument("batch");
    }
    const starling_storage_code code = with_engine(
        storage, [&](storage::Engine& engine) { return result(engine.write(batch->changes)); });
    return code == STARLING_STORAGE_OK && sync != 0 ? starling_storage_sync(storage) : code;
}

starling_storage_code starling_storage_sync(starling_storage* storage) {
    return with_engine(storage, [](storage::Engine& engine) { return result(engine.sync()); });
}

starling_storage_code starling_storage_checkpoint(starling_storage* storage, const char* path) {
    if (path == nullptr) {
        return null_argument("path");
    }
    return with_engine(storage,
                       [&](storage::Engine& engine) { return result(engine.checkpoint(path)); });
}

starling_storage_code starling_storage_compact(starling_storage* storage) {
    return with_engine(storage, [](storage::Engine& engine) { return result(engine.compact()); });
}

starling_storage_code starling_storage_statistics(starling_storage* storage, char** text) {
    if (text == nullptr) {
        return null_argument("text");
    }
    *text = nullptr;
    return with_engine(storage, [&](storage::Engine& engine) {
        std::string lines;
        for (const storage::NamedFigure& figure : storage::named_figures(engine.statistics())) {
            lines += fmt::format("{} {}\n", figure.name, figure.value);
        }
        *text = copy_out(lines);
        return STARLING_STORAGE_OK;
    });
}

starling_storage_code starling_storage_snapshot_take(starling_storage* storage,
                                                     starling_storage_snapshot** snapshot) {
    if (snapshot == nullptr) {
        return null_argument("snapshot");
    }
    *snapshot = nullptr;
    return with_engine(storage, [&](storage::Engine& engine) {
        *snapshot = new starling_storage_snapshot{.core = storage->core, .view = engine.snapshot()};
        return STARLING_STORAGE_OK;
    });
}

void starling_storage_snapshot_free(starling_storage_snapshot* snapshot) {
    delete snapshot;
}

starling_storage_code starling_storage_iterator_new(starling_storage* storage,
                                                    const starling_storage_snapshot* snapshot,
                                                    const char* lower,
                                                    size_t lower_length,
                                                    const char* upper,
                                                    size_t upper_length,
                                                    starling_storage_iterator** iterator) {
    if (iterator == nullptr) {
        return null_argument("iterator");
    }
    *iterator = nullptr;
    return with_engine(storage, [&](storage::Engine& engine) {
        if (!is_bytes(lower, lower_length) || !is_bytes(upper, upper_length)) {
            return null_argument(!is_bytes(lower, lower_length) ? "lower" : "upper");
        }
        if (absl::Status status = check_snapshot(*storage, snapshot); !status.ok()) {
            return result(status);
        }
        *iterator = new starling_storage_iterator{
            .core = storage->core,
            .entries = engine.new_iterator({.lower = std::string(view(lower, lower_length)),
                                            .upper = std::string(view(upper, upper_length)),
                                            .snapshot = view_of(snapshot)})};
        return STARLING_STORAGE_OK;
    });
}

void starling_storage_iterator_free(starling_storage_iterator* iterator) {
    delete iterator;
}

starling_storage_code starling_storage_iterator_seek_to_first(starling_storage_iterator* iterator) {
    return move(iterator, [](storage::Iterator& entries) { entries.seek_to_first(); });
}

starling_storage_code starling_storage_iterator_seek_to_last(starling_storage_iterator* iterator) {
    return move(iterator, [](storage::Iterator& entries) { entries.seek_to_last(); });
}

starling_storage_code starling_storage_iterator_seek(starling_storage_iterator* iterator,
                                                     const char* target,
                                                     size_t target_length) {
    if (!is_bytes(target, target_length)) {
        return null_argument("target");
    }
    return move(iterator,
                [&](storage::Iterator& entries) { entries.seek(view(target, target_length)); });
}

starling_storage_code starling_storage_iterator_seek_before(starling_storage_iterator* iterator,
                                                            const char* target,
                                                            size_t target_length) {
    if (!is_bytes(target, target_length)) {
        return null_argument("target");
    }
    return move(iterator, [&](storage::Iterator& entries) {
        entries.seek_before(view(target, target_length));
    });
}

starling_storage_code starling_storage_iterator_next(starling_storage_iterator* iterator) {
    return step(iterator, [](storage::Iterator& entries) { entries.next(); });
}

starling_storage_code starling_storage_iterator_previous(starling_storage_iterator* iterator) {
    return step(iterator, [](storage::Iterator& entries) { entries.previous(); });
}

int starling_storage_iterator_valid(const starling_storage_iterator* iterator) {
    return is_valid(iterator) ? 1 : 0;
}

const char* starling_storage_iterator_key(const starling_storage_iterator* iterator,
                                          size_t* length) {
    size_t ignored = 0;
    size_t* const target = length == nullptr ? &ignored : length;
    *target = 0;
    return is_valid(iterator) ? show(iterator->entries->key(), target) : nullptr;
}

const char* starling_storage_iterator_value(const starling_storage_iterator* iterator,
                                            size_t* length) {
    size_t ignored = 0;
    size_t* const target = length == nullptr ? &ignored : length;
    *target = 0;
    return is_valid(iterator) ? show(iterator->entries->value(), target) : nullptr;
}

uint64_t starling_storage_iterator_expiry(const starling_storage_iterator* iterator) {
    return is_valid(iterator) ? iterator->entries->expiry() : storage::never;
}
