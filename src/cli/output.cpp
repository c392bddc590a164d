#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "support/fail.h"

namespace hypura {

bool Output::write(std::string_view text) {
  if (closed_ || !status_) {
    return false;
  }
  if (!text.empty()) {
    at_line_start_ = text.back() == '\n';
  }
  while (!text.empty()) {
    const ssize_t written = ::write(fd_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // Another program that shares the terminal or pipe may have made it non-blocking.
      pollfd ready{fd_, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno == EPIPE) {
      closed_ = true;
      return false;
    } else if (errno != EINTR) {
      status_ = fail(ErrorCode::kIo, "{} could not be written: {}", name_, std::strerror(errno));
      return false;
    }
  }
  return true;
}

bool Output::is_terminal() const {
  return ::isatty(fd_) == 1;
}

}  // namespace hypura
