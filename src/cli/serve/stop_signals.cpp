#include "cli/serve/stop_signals.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "cli/program.h"

namespace hypura {

namespace {

// A signal handler can reach globals only. The pipe is what a wait can be ended by, whenever the signal comes.
std::atomic<int> signals = 0;
std::array<int, 2> wakeup = {-1, -1};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int) {
  if (signals.fetch_add(1) > 0) {
    ::_exit(kExitInterrupted);
  }
  const char byte = 0;
  // A pipe that is new takes one byte; there is nothing to do if not.
  [[maybe_unused]] const ssize_t written = ::write(wakeup[1], &byte, 1);
}

}  // namespace

StopSignals::StopSignals() {
  signals = 0;
  if (::pipe(wakeup.data()) == 0) {
    ::fcntl(wakeup[0], F_SETFD, FD_CLOEXEC);
    ::fcntl(wakeup[1], F_SETFD, FD_CLOEXEC);
  }
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // reads of weights under way must not fail because of it
  ::sigaction(SIGINT, &action, &before_interrupt_);
  ::sigaction(SIGTERM, &action, &before_terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &before_interrupt_, nullptr);
  ::sigaction(SIGTERM, &before_terminate_, nullptr);
  for (int& end : wakeup) {
    ::close(end);
    end = -1;
  }
}

void StopSignals::wait() {
  pollfd readable{wakeup[0], POLLIN, 0};
  while (signals == 0) {
    // Without a pipe, which takes a system out of file descriptors, a look every second does.
    ::poll(&readable, 1, wakeup[0] < 0 ? 1000 : -1);
  }
}

}  // namespace hypura
