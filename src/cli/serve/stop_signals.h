// SIGINT and SIGTERM as something to wait for.
#pragma once

#include <csignal>

namespace hypura {

// While one lives, the first of the two signals ends wait(), and the second ends the program at once with exit code
// 130. One at a time, on the main thread.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Until a signal has come since the object was made.
  void wait();

 private:
  struct sigaction before_interrupt_ = {};
  struct sigaction before_terminate_ = {};
};

}  // namespace hypura
