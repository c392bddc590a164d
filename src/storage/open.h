// Files opened for reading, with direct I/O where their file systems allow it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hypura/result.h"
#include "storage/reader.h"

namespace hypura {

// Owns one POSIX file descriptor; -1 is none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct OpenFile {
  std::filesystem::path path;
  FileDescriptor fd;
  bool direct = false;
  uint32_t file = 0;  // the number of the file whose bytes it has
  uint32_t copy = 0;  // 0: that file itself; else the number of a mirror
  uint32_t lane = 0;  // of what one copy has on one disk
};

struct OpenFiles {
  std::vector<OpenFile> files;  // first all files themselves, then those of mirrors
  std::vector<double> speeds;   // of each lane in bytes per second, above 0; none without mirrors
  std::string notice;           // why direct I/O was asked for and not given, else empty
};

// Opens all files, direct where asked for and possible. With mirrors it also measures how fast each lane is, from a
// few reads. Fails with kIo, naming the file.
Result<OpenFiles> open_files(const std::vector<std::filesystem::path>& paths, const std::vector<Mirror>& mirrors,
                             bool direct);

// The system's own way to open a file past the page cache: a descriptor, or -1 with errno set (open_linux.cpp,
// open_darwin.cpp).
int open_direct(const char* path);

// pread, repeated when a signal interrupts it: bytes read, or a negative errno.
int64_t read_at(int fd, std::byte* to, uint64_t length, uint64_t offset);

// Memory that direct reads can go to; `size` is a multiple of kDirectAlignment. Ends the program when there is none.
struct AlignedDelete {
  void operator()(std::byte* memory) const;
};
using AlignedMemory = std::unique_ptr<std::byte[], AlignedDelete>;
AlignedMemory aligned_memory(uint64_t size);

// The text of an errno value, from any thread.
std::string errno_text(int error);

}  // namespace hypura
