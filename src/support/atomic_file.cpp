#include "support/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "support/fail.h"

namespace hypura {

namespace {

tl::unexpected<Error> cannot_write(const std::filesystem::path& path, std::error_code error) {
  return fail(ErrorCode::kIo, "cannot write '{}': {}", path.string(), error.message());
}

std::error_code last_error() {
  return {errno, std::generic_category()};
}

std::error_code write_and_close(int fd, std::string_view text) {
  std::error_code error;
  while (!text.empty() && !error) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error = last_error();
    }
  }
  // Before the rename, or after a power cut the new name could lead to an empty file.
  if (!error && ::fsync(fd) != 0) {
    error = last_error();
  }
  if (::close(fd) != 0 && !error) {
    error = last_error();
  }
  return error;
}

// A name of its own, so that two programs, or threads, that write the same file do not meet.
std::string name_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> count = 0;
  return fmt::format("{}.{}-{}.partial", path.string(), ::getpid(), count++);
}

Status replace(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  const std::string partial = name_beside(path);
  const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) {
    return cannot_write(path, last_error());
  }
  std::error_code error = write_and_close(fd, text);
  if (!error && ::rename(partial.c_str(), path.c_str()) != 0) {
    error = last_error();
  }
  if (error) {
    ::unlink(partial.c_str());
    return cannot_write(path, error);
  }
  return {};
}

constexpr mode_t kPrivate = S_IRUSR | S_IWUSR;
constexpr mode_t kUsual = kPrivate | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;

}  // namespace

Status replace_file(const std::filesystem::path& path, std::string_view text) {
  return replace(path, text, kUsual);
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  std::error_code error;
  if (path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), error);
  }
  return error ? cannot_write(path, error) : replace(path, text, kPrivate);
}

}  // namespace hypura
