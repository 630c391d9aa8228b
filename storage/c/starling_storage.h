/* The storage engine for C99 and for whatever calls C: an ordered map from byte strings to byte
 * strings that survives crashes. Shared library: libstarling_storage.so.
 *
 * Results. Every function that can fail returns a starling_storage_code; 0 is success. Why it
 * failed is told by starling_storage_error_text(), per thread. A NULL where an object or a buffer
 * is needed is STARLING_STORAGE_INVALID_ARGUMENT.
 *
 * Memory that runs out. A call that finds none for what it is given or gives back is
 * STARLING_STORAGE_OUT_OF_MEMORY and changes nothing, and a function that gives an object without a
 * code gives NULL. Where the engine itself finds none the process ends, which is a crash without
 * power loss: what was synced is there when it is opened again.
 *
 * Bytes. Keys and values are a pointer and a length; NUL bytes are bytes like others. Of length 0
 * the pointer may be NULL. What a function is given is copied before it returns. Paths and names
 * are NUL-terminated.
 *
 * Memory. What a _create, _open, _take or _new function gives belongs to the caller, who gives it
 * back to the matching _free, which accepts NULL. Bytes that a function gives through `char**` are
 * given back to starling_storage_bytes_free(). What an iterator shows belongs to the iterator,
 * until it moves. Objects may be freed in any order, each once; a freed object must not be used.
 *
 * Threads. A starling_storage may be used by any number of threads at once, and a snapshot too. One
 * options object, batch or iterator is used by one thread at a time.
 *
 * Closing. starling_storage_close() ends the use of the directory; after it each call on the
 * engine, its snapshots and iterators but the _free functions is
 * STARLING_STORAGE_FAILED_PRECONDITION. starling_storage_free() without close is a crash: what was
 * not synced may be lost. */
#ifndef STARLING_STORAGE_H
#define STARLING_STORAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STARLING_STORAGE_API __attribute__((visibility("default")))
#else
#define STARLING_STORAGE_API
#endif

/* What the caller does next. */
typedef enum starling_storage_code {
    STARLING_STORAGE_OK = 0,
    /* A mistake of the caller: NULL, an unknown engine, a key or value that is too large. */
    STARLING_STORAGE_INVALID_ARGUMENT = 1,
    /* The key is absent, or there is no such directory. */
    STARLING_STORAGE_NOT_FOUND = 2,
    STARLING_STORAGE_ALREADY_EXISTS = 3,
    /* A condition does not hold; nothing was changed. */
    STARLING_STORAGE_ABORTED = 4,
    /* Not now: closed, read-only, in use by another process, written by another engine or version.
     */
    STARLING_STORAGE_FAILED_PRECONDITION = 5,
    /* The disk is full; nothing was changed. Try again when there is room. */
    STARLING_STORAGE_RESOURCE_EXHAUSTED = 6,
    /* Writes outrun the disk, or an I/O error; nothing was changed. Try again later. */
    STARLING_STORAGE_UNAVAILABLE = 7,
    /* Damage; the text names file and offset. */
    STARLING_STORAGE_DATA_LOSS = 8,
    STARLING_STORAGE_PERMISSION_DENIED = 9,
    STARLING_STORAGE_UNIMPLEMENTED = 10,
    STARLING_STORAGE_INTERNAL = 11,
    STARLING_STORAGE_OUT_OF_MEMORY = 12
} starling_storage_code;

typedef struct starling_storage starling_storage;
typedef struct starling_storage_options starling_storage_options;
typedef struct starling_storage_batch starling_storage_batch;
typedef struct starling_storage_snapshot starling_storage_snapshot;
typedef struct starling_storage_iterator starling_storage_iterator;

/* Of this thread's last call that failed; "" if none did. Valid until this thread's next call.
 * Never NULL. */
STARLING_STORAGE_API const char* starling_storage_error_text(void);
/* A code in a word, such as "not_found"; a constant. */
STARLING_STORAGE_API const char* starling_storage_code_name(starling_storage_code code);
STARLING_STORAGE_API void starling_storage_bytes_free(char* bytes);

/* Options, each with a default. */
STARLING_STORAGE_API starling_storage_options* starling_storage_options_create(void);
STARLING_STORAGE_API void starling_storage_options_free(starling_storage_options* options);
/* "lsm", "bitcask" or "in_memory". Default: "", the engine that wrote the directory, or lsm for a
 * new one. */
STARLING_STORAGE_API starling_storage_code
starling_storage_options_set_engine(starling_storage_options* options, const char* engine);
/* Not 0: nothing is made, changed or removed, and the directory must exist. Default: 0. */
STARLING_STORAGE_API starling_storage_code
starling_storage_options_set_read_only(starling_storage_options* options, int read_only);
/* For changes that are not in tables yet. Default: 64 MiB. */
STARLING_STORAGE_API starling_storage_code
starling_storage_options_set_memory_bytes_max(starling_storage_options* options, uint64_t bytes);
/* For what was read. Default: 64 MiB. */
STARLING_STORAGE_API starling_storage_code
starling_storage_options_set_block_cache_bytes(starling_storage_options* options, uint64_t bytes);

/* Opens the directory `path`, or makes it; its parent must exist. `options` may be NULL. On success
 * `*storage` is the caller's; otherwise it is NULL. */
STARLING_STORAGE_API starling_storage_code starling_storage_open(
    const char* path, const starling_storage_options* options, starling_storage** storage);
/* Makes everything durable and lets go of the directory. */
STARLING_STORAGE_API starling_storage_code starling_storage_close(starling_storage* storage);
STARLING_STORAGE_API void starling_storage_free(starling_storage* storage);

/* A change is visible to all reads when its function returns OK, and durable after the next
 * starling_storage_sync() that is OK. */
STARLING_STORAGE_API starling_storage_code starling_storage_put(starling_storage* storage,
                                                                const char* key,
                                                                size_t key_length,
                                                                const char* value,
                                                                size_t value_length);
/* From `expiry_ms`, in milliseconds since 1970, on the key is absent. 0: it does not expire. */
STARLING_STORAGE_API starling_storage_code
starling_storage_put_with_expiry(starling_storage* storage,
                                 const char* key,
                                 size_t key_length,
                                 const char* value,
                                 size_t value_length,
                                 uint64_t expiry_ms);
/* ABORTED unless the key holds `expected` at the moment of the change. A NULL `expected` with
 * length 0: unless it is absent. */
STARLING_STORAGE_API starling_storage_code starling_storage_put_if(starling_storage* storage,
                                                                   const char* key,
                                                                   size_t key_length,
                                                                   const char* expected,
                                                                   size_t expected_length,
                                                                   const char* value,
                                                                   size_t value_length);
/* OK also when the key is absent. */
STARLING_STORAGE_API starling_storage_code starling_storage_delete(starling_storage* storage,
                                                                   const char* key,
                                                                   size_t key_length);
/* `snapshot` may be NULL: the newest value. The caller frees `*value`, which is not NULL when the
 * value is empty. NOT_FOUND, and NULL in `*value`: the key is absent. */
STARLING_STORAGE_API starling_storage_code
starling_storage_get(starling_storage* storage,
                     const starling_storage_snapshot* snapshot,
                     const char* key,
                     size_t key_length,
                     char** value,
                     size_t* value_length);

/* Changes that are applied as one: after a crash all are there or none. A later change of a key
 * wins. */
STARLING_STORAGE_API starling_storage_batch* starling_storage_batch_create(void);
STARLING_STORAGE_API void starling_storage_batch_free(starling_storage_batch* batch);
STARLING_STORAGE_API starling_storage_code starling_storage_batch_put(starling_storage_batch* batch,
                                                                      const char* key,
                                                                      size_t key_length,
                                                                      const char* value,
                                                                      size_t value_length,
                                                                      uint64_t expiry_ms);
STARLING_STORAGE_API starling_storage_code
starling_storage_batch_delete(starling_storage_batch* batch, const char* key, size_t key_length);
/* All keys in [begin, end); an `end` of length 0 means to the end. */
STARLING_STORAGE_API starling_storage_code
starling_storage_batch_delete_range(starling_storage_batch* batch,
                                    const char* begin,
                                    size_t begin_length,
                                    const char* end,
                                    size_t end_length);
STARLING_STORAGE_API starling_storage_code
starling_storage_batch_clear(starling_storage_batch* batch);
/* The batch stays as it is. `sync` not 0: durable on return. */
STARLING_STORAGE_API starling_storage_code
starling_storage_write(starling_storage* storage, const starling_storage_batch* batch, int sync);

/* Makes all earlier changes durable. */
STARLING_STORAGE_API starling_storage_code starling_storage_sync(starling_storage* storage);
/* A durable copy of the state in the new directory `path`, which opens like any other. */
STARLING_STORAGE_API starling_storage_code starling_storage_checkpoint(starling_storage* storage,
                                                                       const char* path);
/* Rewrites what is there without what nobody needs; takes as long as that takes. */
STARLING_STORAGE_API starling_storage_code starling_storage_compact(starling_storage* storage);
/* Lines of "name value", NUL-terminated. The caller frees `*text`. */
STARLING_STORAGE_API starling_storage_code starling_storage_statistics(starling_storage* storage,
                                                                       char** text);

/* A frozen view. */
STARLING_STORAGE_API starling_storage_code
starling_storage_snapshot_take(starling_storage* storage, starling_storage_snapshot** snapshot);
STARLING_STORAGE_API void starling_storage_snapshot_free(starling_storage_snapshot* snapshot);

/* Over the keys in [lower, upper), in the order of their bytes; an `upper` of length 0 means to the
 * end. Shows the state of `snapshot`, or, when that is NULL, of now. It stands nowhere until a
 * seek. */
STARLING_STORAGE_API starling_storage_code
starling_storage_iterator_new(starling_storage* storage,
                              const starling_storage_snapshot* snapshot,
                              const char* lower,
                              size_t lower_length,
                              const char* upper,
                              size_t upper_length,
                              starling_storage_iterator** iterator);
STARLING_STORAGE_API void starling_storage_iterator_free(starling_storage_iterator* iterator);
/* Each returns OK also when there is no such key: then the iterator is not valid. */
STARLING_STORAGE_API starling_storage_code
starling_storage_iterator_seek_to_first(starling_storage_iterator* iterator);
STARLING_STORAGE_API starling_storage_code
starling_storage_iterator_seek_to_last(starling_storage_iterator* iterator);
/* To the first key >= `target`. */
STARLING_STORAGE_API starling_storage_code starling_storage_iterator_seek(
    starling_storage_iterator* iterator, const char* target, size_t target_length);
/* To the last key < `target`. */
STARLING_STORAGE_API starling_storage_code starling_storage_iterator_seek_before(
    starling_storage_iterator* iterator, const char* target, size_t target_length);
/* FAILED_PRECONDITION when the iterator is not valid. */
STARLING_STORAGE_API starling_storage_code
starling_storage_iterator_next(starling_storage_iterator* iterator);
STARLING_STORAGE_API starling_storage_code
starling_storage_iterator_previous(starling_storage_iterator* iterator);
/* 1: it stands on a key. 0: it does not, or is NULL, or the engine is closed. */
STARLING_STORAGE_API int starling_storage_iterator_valid(const starling_storage_iterator* iterator);
/* NULL and a length of 0 when it is not valid. */
STARLING_STORAGE_API const char* starling_storage_iterator_key(
    const starling_storage_iterator* iterator, size_t* length);
STARLING_STORAGE_API const char* starling_storage_iterator_value(
    const starling_storage_iterator* iterator, size_t* length);
/* In milliseconds since 1970; 0: the key does not expire, or the iterator is not valid. */
STARLING_STORAGE_API uint64_t
starling_storage_iterator_expiry(const starling_storage_iterator* iterator);

#ifdef __cplusplus
}
#endif

#endif
