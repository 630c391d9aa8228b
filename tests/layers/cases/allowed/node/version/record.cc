#include "node/replica/store.h"

int version() {
    return stored();
}
