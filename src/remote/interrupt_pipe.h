// Ends waiting for sockets from another thread.
#pragma once

#include "hypura/result.h"

namespace hypura {

class InterruptPipe {
 public:
  // Fails with kInternal when the system has no file descriptors left.
  static Result<InterruptPipe> create();

  ~InterruptPipe();
  InterruptPipe(InterruptPipe&& other) noexcept;
  InterruptPipe& operator=(InterruptPipe&&) = delete;

  // From now on whoever waits with it stops waiting. Any thread.
  void set() const;

  // Readable once it was set.
  int fd() const { return ends_[0]; }

 private:
  InterruptPipe() = default;

  int ends_[2] = {-1, -1};
};

}  // namespace hypura
