#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/serving_log.h"
#include "cli/worker/worker_listener.h"
#include "cli/worker/worker_process.h"
#include "support/executable_path.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kFatalPress = 2;
constexpr milliseconds kLook{500};  // at signals, which may come between two waits
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kLongestPause{30'000};
constexpr std::chrono::seconds kWorksWell{60};  // after so long the next pause is the first again

std::vector<std::string> child_words(const WorkerCommandOptions& options) {
  std::vector<std::string> words = {"worker",   options.model.string(), "--inherited", "--trust-network",
                                    "--listen", options.listen};
  if (options.memory) {
    words.insert(words.end(), {"--memory", std::to_string(*options.memory)});
  }
  if (options.threads > 0) {
    words.insert(words.end(), {"--threads", std::to_string(options.threads)});
  }
  if (!options.repacked) {
    words.emplace_back("--no-repacked");
  }
  if (options.verbose) {
    words.emplace_back("--verbose");
  }
  return words;
}

// How one process of the worker went.
struct Ended {
  bool was_ready = false;
  bool worked_well = false;
  bool stopped = false;  // because that was asked for
  int status = 0;        // as waitpid() gives it
};

int wait_for(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

Ended watch(WorkerProcess& worker, const InterruptGuard& interrupt) {
  Ended ended;
  const auto start = Clock::now();
  while (true) {
    if (interrupt.pressed() && !ended.stopped) {
      ended.stopped = true;
      ::kill(worker.process, SIGTERM);
      ::kill(worker.process, SIGCONT);  // one that was stopped would not end
    }
    pollfd readable{worker.status.get(), POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(kLook.count())) <= 0) {
      continue;
    }
    char byte = 0;
    const ssize_t got = ::read(worker.status.get(), &byte, 1);
    if (got > 0) {
      ended.was_ready = true;
    } else if (got == 0) {
      break;
    }
  }
  ended.status = wait_for(worker.process);
  ended.worked_well = ended.was_ready && Clock::now() - start >= kWorksWell;
  return ended;
}

void pause(milliseconds time, const InterruptGuard& interrupt) {
  for (const auto end = Clock::now() + time; Clock::now() < end && !interrupt.pressed();) {
    std::this_thread::sleep_for(std::min(kLook, time));
  }
}

// Keeps a process at work until it is stopped. One that has never come so far as to serve has said why.
Result<int> supervise(const WorkerCommandOptions& options, int listener) {
  const auto program = executable_path();
  if (!program) {
    return propagate(program.error());
  }
  const InterruptGuard interrupt(kFatalPress, AlsoOn::kTermination);
  bool ever_ready = false;
  milliseconds next_pause = kFirstPause;
  while (true) {
    auto worker = start_worker_process(*program, child_words(options), listener);
    if (!worker) {
      return propagate(worker.error());
    }
    const Ended ended = watch(*worker, interrupt);
    ever_ready = ever_ready || ended.was_ready;
    if (ended.stopped) {
      logger().info("the worker is stopped");
      return 0;
    }
    if (!ever_ready) {
      const bool killed = WIFSIGNALED(ended.status);
      return killed ? Result<int>(fail(ErrorCode::kInternal, "the worker's process ended {} before it could serve",
                                       how_it_ended(ended.status)))
                    : Result<int>(WEXITSTATUS(ended.status));
    }
    next_pause = ended.worked_well ? kFirstPause : next_pause;
    logger().error("the worker's process ended {}: another starts in {} s", how_it_ended(ended.status),
                   static_cast<double>(next_pause.count()) / 1000);
    pause(next_pause, interrupt);
    if (interrupt.pressed()) {
      logger().info("the worker is stopped");
      return 0;
    }
    next_pause = std::min(2 * next_pause, kLongestPause);
  }
}

}  // namespace

Result<int> worker_command(const WorkerCommandOptions& options) {
  if (options.inherited) {
    return work_for_others(options);
  }
  log_for_serving(options.verbose);
  const auto address = read_listen_address(options.listen);
  if (!address) {
    return propagate(address.error());
  }
  const auto listener = listen_at(*address);
  if (!listener) {
    return propagate(listener.error());
  }
  return supervise(options, listener->get());
}

}  // namespace hypura
