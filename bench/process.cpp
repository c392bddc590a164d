#include "bench/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "bench/system_state.h"

namespace hypura::bench {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCouldNotStart = 127;

// In the child between fork and exec: only calls that are safe there.
[[noreturn]] void become(const char* program, char* const* arguments, const char* entrance, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (*entrance != '\0') {
    const int procs = open(entrance, O_WRONLY);
    if (procs < 0 || write(procs, "0", 1) != 1) {
      _exit(kCouldNotStart);
    }
    close(procs);
  }
  if (dup2(output, STDOUT_FILENO) < 0) {
    _exit(kCouldNotStart);
  }
  execv(program, arguments);
  _exit(kCouldNotStart);
}

// Reads until the other end is closed; false when it must be given up before.
bool read_all(int pipe, Clock::time_point deadline, std::string& text) {
  std::array<char, 4096> buffer{};
  while (!stop_requested() && Clock::now() < deadline) {
    pollfd waiting = {pipe, POLLIN, 0};
    if (poll(&waiting, 1, 200) <= 0) {
      continue;
    }
    const ssize_t got = read(pipe, buffer.data(), buffer.size());
    if (got == 0) {
      return true;
    }
    if (got > 0) {
      text.append(buffer.data(), static_cast<size_t>(got));
    }
  }
  return false;
}

}  // namespace

Result<ProcessOutcome> run_process(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                                   const std::filesystem::path& entrance, double timeout_seconds) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::kIo, "a pipe to {} cannot be made ({})", program.string(), std::strerror(errno));
  }
  const pid_t child = fork();
  if (child == 0) {
    become(program.c_str(), pointers.data(), entrance.c_str(), ends[1]);
  }
  close(ends[1]);
  ProcessOutcome outcome;
  const auto timeout = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_seconds));
  const bool complete = child > 0 && read_all(ends[0], Clock::now() + timeout, outcome.output);
  close(ends[0]);
  if (child < 0) {
    return fail(ErrorCode::kIo, "{} cannot be started ({})", program.string(), std::strerror(errno));
  }
  if (!complete) {
    kill(child, SIGKILL);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (stop_requested()) {
    return fail(ErrorCode::kCancelled, "stopped");
  }
  outcome.timed_out = !complete;
  outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (outcome.exit_status == kCouldNotStart) {
    return fail(ErrorCode::kIo, "{} cannot be started{}", program.string(),
                entrance.empty() ? "" : fmt::format(", or cannot enter {}", entrance.string()));
  }
  return outcome;
}

}  // namespace hypura::bench
