#include "store/fetch/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "support/fail.h"

namespace hypura {

namespace {

constexpr auto kBetweenTries = std::chrono::milliseconds(50);

tl::unexpected<Error> cannot_lock(const std::filesystem::path& path, int error) {
  return fail(ErrorCode::kIo, "{}: cannot be locked: {}", path.string(), std::generic_category().message(error));
}

}  // namespace

Result<FileLock> FileLock::take(const std::filesystem::path& path, const KeepGoing& keep_going,
                                const std::function<void()>& waiting) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return cannot_lock(path, error.value());
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) {
    return cannot_lock(path, errno);
  }
  FileLock lock(fd);
  bool told = false;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) {
      continue;
    }
    if (errno != EWOULDBLOCK) {
      return cannot_lock(path, errno);
    }
    if (!std::exchange(told, true) && waiting) {
      waiting();
    }
    if (keep_going && !keep_going()) {
      return fail(ErrorCode::kCancelled, "stopped while another program was fetching the same file");
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

}  // namespace hypura
