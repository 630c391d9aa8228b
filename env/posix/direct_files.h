#pragma once

// Open files past the cache of pages (O_DIRECT): the disk and our memory exchange whole sectors,
// without a copy in between and without pages that have to be found, filled and written back.
// What is read or written from one end to the other goes on while its user computes.
// Threads: as env/file_system.h says.

#include <memory>
#include <string>

#include "env/file_system.h"
#include "env/posix/file_handles.h"

namespace starling::env {

// REQUIRES of all: opened with O_DIRECT.

std::unique_ptr<RandomAccessFile> make_posix_direct_readable(FileDescriptor file, std::string path);

// Reads a piece while the one before it is used.
std::unique_ptr<RandomAccessFile> make_posix_streamed_readable(FileDescriptor file,
                                                               std::string path,
                                                               size_t piece_bytes);

// Of an empty file. Appends collect in buffers of 512 KiB; one is filled while the other is
// written. From the first flush(), sync() or preallocate() on, after which it may end within a
// sector, it is an ordinary file.
std::unique_ptr<WritableFile> make_posix_streamed_writable(FileDescriptor file, std::string path);

}  // namespace starling::env
