#include "support/atomic_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

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

}  // namespace

Status write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  std::error_code error;
  if (path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), error);
  }
  if (error) {
    return cannot_write(path, error);
  }
  std::string name = path.string() + ".XXXXXX";
  const int fd = ::mkstemp(name.data());
  if (fd < 0) {
    return cannot_write(path, last_error());
  }
  error = write_and_close(fd, text);
  if (!error && ::rename(name.c_str(), path.c_str()) != 0) {
    error = last_error();
  }
  if (error) {
    ::unlink(name.c_str());
    return cannot_write(path, error);
  }
  return {};
}

}  // namespace hypura
