#include "cli/interrupt.h"

#include <unistd.h>

#include <atomic>

namespace hypura {

namespace {

// A signal handler can reach globals only, and only lock-free ones.
std::atomic<int> presses = 0;
std::atomic<int> last_press = 0;
std::atomic<int> last_signal = SIGINT;
static_assert(std::atomic<int>::is_always_lock_free);

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
constexpr int kExitBySignal = 128;

void count_press(int signal) {
  last_signal = signal;
  if (presses.fetch_add(1) + 1 >= last_press) {
    ::_exit(kExitBySignal + signal);
  }
}

}  // namespace

InterruptGuard::InterruptGuard(int fatal_press, AlsoOn also)
    : signals_(also == AlsoOn::kTermination ? kSignals.size() : 1) {
  presses = 0;
  last_press = fatal_press;
  struct sigaction action = {};
  action.sa_handler = count_press;
  action.sa_flags = SA_RESTART;  // reads of weights under way must not fail because of it
  for (size_t i = 0; i < signals_; ++i) {
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    const bool keeps_ignoring = kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN;
    if (!keeps_ignoring) {
      ::sigaction(kSignals[i], &action, nullptr);
    }
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < signals_; ++i) {
    ::sigaction(kSignals[i], &before_[i], nullptr);
  }
}

int InterruptGuard::exit_code() {
  return kExitBySignal + last_signal;
}

bool InterruptGuard::pressed() const {
  return presses > 0;
}

}  // namespace hypura
