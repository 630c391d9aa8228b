/* Puts a few things into a data directory and walks through them. Usage: example DIRECTORY */

#include <stdio.h>
#include <string.h>

#include "starling_storage.h"

/* Says what failed and where; 0 when nothing did. */
static int failed(starling_storage_code code, const char* what) {
    if (code == STARLING_STORAGE_OK) {
        return 0;
    }
    fprintf(stderr,
            "%s: %s (%s)\n",
            what,
            starling_storage_error_text(),
            starling_storage_code_name(code));
    return 1;
}

static int put(starling_storage* storage, const char* key, const char* value) {
    return failed(starling_storage_put(storage, key, strlen(key), value, strlen(value)), "put");
}

static int write_some(starling_storage* storage) {
    if (put(storage, "fruit/apple", "green") || put(storage, "fruit/pear", "yellow") ||
        put(storage, "tool/saw", "sharp")) {
        return 1;
    }
    /* Both or neither, and durable when it returns. */
    starling_storage_batch* batch = starling_storage_batch_create();
    starling_storage_batch_put(batch, "fruit/plum", 10, "blue", 4, 0);
    starling_storage_batch_delete(batch, "fruit/pear", 10);
    const starling_storage_code code = starling_storage_write(storage, batch, 1);
    starling_storage_batch_free(batch);
    if (failed(code, "write")) {
        return 1;
    }
    /* Only if nobody has made it yet. */
    return starling_storage_put_if(storage, "fruit/plum", 10, NULL, 0, "red", 3) !=
           STARLING_STORAGE_ABORTED;
}

static int read_one(starling_storage* storage) {
    char* value = NULL;
    size_t length = 0;
    if (failed(starling_storage_get(storage, NULL, "fruit/plum", 10, &value, &length), "get")) {
        return 1;
    }
    printf("the plum is %.*s\n", (int)length, value);
    starling_storage_bytes_free(value);
    return starling_storage_get(storage, NULL, "fruit/pear", 10, &value, &length) !=
           STARLING_STORAGE_NOT_FOUND;
}

static int list_fruit(starling_storage* storage) {
    starling_storage_iterator* iterator = NULL;
    /* '0' follows '/'. */
    if (failed(starling_storage_iterator_new(storage, NULL, "fruit/", 6, "fruit0", 6, &iterator),
               "iterator")) {
        return 1;
    }
    starling_storage_code code = starling_storage_iterator_seek_to_first(iterator);
    while (code == STARLING_STORAGE_OK && starling_storage_iterator_valid(iterator)) {
        size_t key_length = 0;
        size_t value_length = 0;
        const char* key = starling_storage_iterator_key(iterator, &key_length);
        const char* value = starling_storage_iterator_value(iterator, &value_length);
        printf("%.*s = %.*s\n", (int)key_length, key, (int)value_length, value);
        code = starling_storage_iterator_next(iterator);
    }
    starling_storage_iterator_free(iterator);
    return failed(code, "iterate");
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: example DIRECTORY\n");
        return 64;
    }
    starling_storage* storage = NULL;
    if (failed(starling_storage_open(argv[1], NULL, &storage), "open")) {
        return 1;
    }
    int bad = write_some(storage) || read_one(storage) || list_fruit(storage);
    bad = failed(starling_storage_close(storage), "close") || bad;
    starling_storage_free(storage);
    return bad;
}
