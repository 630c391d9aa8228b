#include "node/doors/connection_table.h"

#include <sys/stat.h>

#include "base/check.h"

namespace starling::node {

void ConnectionTable::add(int fd) {
    struct stat info{};
    STARLING_CHECK(::fstat(fd, &info) == 0);
    entries_.push_back({.fd = fd, .device = info.st_dev, .inode = info.st_ino});
}

size_t ConnectionTable::recount() {
    std::erase_if(entries_, [](const Entry& entry) {
        struct stat info{};
        return ::fstat(entry.fd, &info) != 0 || info.st_dev != entry.device ||
               info.st_ino != entry.inode;
    });
    return entries_.size();
}

}  // namespace starling::node
