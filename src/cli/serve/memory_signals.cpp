#include "cli/serve/memory_signals.h"

#include <atomic>

namespace hypura {

namespace {

// A signal handler can reach globals only.
std::atomic<int> last_memory_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void on_memory_signal(int signal) {
  last_memory_signal = signal;
}

}  // namespace

MemorySignals::MemorySignals() {
  last_memory_signal = 0;
  struct sigaction action = {};
  action.sa_handler = on_memory_signal;
  action.sa_flags = SA_RESTART;  // reads of weights under way must not fail because of it
  ::sigaction(SIGUSR1, &action, &before_less_);
  ::sigaction(SIGUSR2, &action, &before_auto_);
}

MemorySignals::~MemorySignals() {
  ::sigaction(SIGUSR1, &before_less_, nullptr);
  ::sigaction(SIGUSR2, &before_auto_, nullptr);
}

std::optional<MemoryWish> MemorySignals::take() {
  switch (last_memory_signal.exchange(0)) {
    case SIGUSR1:
      return MemoryWish(MemoryLeast());
    case SIGUSR2:
      return MemoryWish(MemoryAuto());
    default:
      return std::nullopt;
  }
}

}  // namespace hypura
