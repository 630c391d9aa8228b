#include "node/replica/store.h"

int stored() {
    return 1;
}
