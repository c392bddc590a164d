#include "remote/interrupt_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "support/fail.h"

namespace hypura {

Result<InterruptPipe> InterruptPipe::create() {
  InterruptPipe made;
  if (::pipe(made.ends_) != 0) {
    return fail(ErrorCode::kInternal, "cannot make a pipe: {}", std::strerror(errno));
  }
  for (const int end : made.ends_) {
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
  }
  return made;
}

InterruptPipe::~InterruptPipe() {
  for (const int end : ends_) {
    if (end >= 0) {
      ::close(end);
    }
  }
}

InterruptPipe::InterruptPipe(InterruptPipe&& other) noexcept
    : ends_{std::exchange(other.ends_[0], -1), std::exchange(other.ends_[1], -1)} {}

void InterruptPipe::set() const {
  const char byte = 0;
  while (::write(ends_[1], &byte, 1) < 0 && errno == EINTR) {
  }
}

}  // namespace hypura
