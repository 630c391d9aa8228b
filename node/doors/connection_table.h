#pragma once

// Which of the sockets that were given away are still open. gRPC takes a socket for good and does
// not say when it closes it; but the kernel names each socket by an inode of its own, so a
// descriptor that no longer leads to the same inode was closed, even if its number has been used
// again.
//
// Not thread-safe.

#include <cstddef>
#include <vector>

#include <sys/types.h>

namespace starling::node {

class ConnectionTable {
  public:
    // REQUIRES: `fd` is an open socket.
    void add(int fd);
    // Forgets the closed ones. One system call for each entry.
    size_t recount();
    // As of the last add or recount: at least as many as are open.
    size_t size() const { return entries_.size(); }

  private:
    struct Entry {
        int fd;
        dev_t device;
        ino_t inode;
    };
    std::vector<Entry> entries_;
};

}  // namespace starling::node
