// Ctrl-C as a question the program asks, instead of a signal that ends it.
#pragma once

#include <array>
#include <csignal>

namespace hypura {

// What else asks a program to end: a terminal that closes, a system that shuts down.
enum class AlsoOn { kNothing, kTermination };

// While one lives, SIGINT is counted, and SIGTERM and SIGHUP if so wished; afterwards they do again what they did
// before. A SIGHUP that the program was started to ignore (nohup) is ignored. One at a time, on the main thread.
class InterruptGuard {
 public:
  // A stuck program must stay stoppable: press number `fatal_press` ends it at once, with the exit code of its signal.
  explicit InterruptGuard(int fatal_press, AlsoOn also = AlsoOn::kNothing);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // A signal arrived since the guard was made. Any thread.
  bool pressed() const;

  // The exit code of a program that the last signal ended: 128 and its number.
  static int exit_code();

 private:
  std::array<struct sigaction, 3> before_ = {};
  size_t signals_ = 1;  // of kSignals, that are counted
};

}  // namespace hypura
