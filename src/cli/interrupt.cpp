#include "cli/interrupt.h"

#include <unistd.h>

#include <atomic>

#include "cli/program.h"

namespace hypura {

namespace {

// A signal handler can reach globals only, and only lock-free ones.
std::atomic<int> presses = 0;
std::atomic<int> last_press = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void count_press(int) {
  if (presses.fetch_add(1) + 1 >= last_press) {
    ::_exit(kExitInterrupted);
  }
}

}  // namespace

InterruptGuard::InterruptGuard(int fatal_press) {
  presses = 0;
  last_press = fatal_press;
  struct sigaction action = {};
  action.sa_handler = count_press;
  action.sa_flags = SA_RESTART;  // reads of weights under way must not fail because of it
  ::sigaction(SIGINT, &action, &before_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &before_, nullptr);
}

bool InterruptGuard::pressed() const {
  return presses > 0;
}

}  // namespace hypura
