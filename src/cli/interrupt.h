// Ctrl-C as a question the program asks, instead of a signal that ends it.
#pragma once

#include <csignal>

namespace hypura {

// While one lives, SIGINT is counted; afterwards it does again what it did before. One at a time, on the main thread.
class InterruptGuard {
 public:
  // A stuck program must stay stoppable: press number `fatal_press` ends it at once with exit code 130.
  explicit InterruptGuard(int fatal_press);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // SIGINT arrived since the guard was made. Any thread.
  bool pressed() const;

 private:
  struct sigaction before_ = {};
};

}  // namespace hypura
