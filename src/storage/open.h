// Files opened for reading, with direct I/O where their file systems allow it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "hypura/result.h"

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
};

struct OpenFiles {
  std::vector<OpenFile> files;
  bool direct = false;
  std::string notice;  // why direct I/O was asked for and not given, else empty
};

// Opens all files, all direct or all buffered. Fails with kIo, naming the file.
Result<OpenFiles> open_files(const std::vector<std::filesystem::path>& paths, bool direct);

// The system's own way to open a file past the page cache: a descriptor, or -1 with errno set (open_linux.cpp,
// open_darwin.cpp).
int open_direct(const char* path);

// The text of an errno value, from any thread.
std::string errno_text(int error);

}  // namespace hypura
