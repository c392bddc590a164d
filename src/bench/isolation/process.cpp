#include "bench/isolation/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string_view>

#include "bench/isolation/machine_state.h"
#include "storage/open.h"
#include "support/fail.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCouldNotStart = 127;

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};

// Closed on exec. (No pipe2: macOS has none.)
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) {
    return fail(ErrorCode::kIo, "cannot create a pipe ({})", errno_text(errno));
  }
  Pipe made{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
  for (const int end : ends) {
    fcntl(end, F_SETFD, FD_CLOEXEC);
  }
  return made;
}

// In the child between fork and exec: only calls that are safe there. `input` is -1 when standard input is kept.
[[noreturn]] void become(const char* program, char* const* arguments, const char* entrance, int input, int output) {
  end_with_parent();
  if (*entrance != '\0') {
    const int procs = open(entrance, O_WRONLY);
    if (procs < 0 || write(procs, "0", 1) != 1) {
      _exit(kCouldNotStart);
    }
    close(procs);
  }
  if (dup2(output, STDOUT_FILENO) < 0 || (input >= 0 && dup2(input, STDIN_FILENO) < 0)) {
    _exit(kCouldNotStart);
  }
  execv(program, arguments);
  _exit(kCouldNotStart);
}

// Writes as much as the pipe takes and closes it at the end, or when the reader has gone: that it did not want more is
// for its exit status to tell.
void write_some(FileDescriptor& to, std::string_view& text) {
  const ssize_t written = write(to.get(), text.data(), text.size());
  if (written >= 0) {
    text.remove_prefix(static_cast<size_t>(written));
  }
  if (text.empty() || (written < 0 && errno != EINTR && errno != EAGAIN)) {
    to = FileDescriptor();
  }
}

// Feeds and reads until the other end of `from` is closed; false when it is cancelled before.
bool exchange(FileDescriptor& to, std::string_view input, int from, Clock::time_point deadline, std::string& text) {
  std::array<char, 4096> buffer{};
  while (!stop_requested() && Clock::now() < deadline) {
    // poll() passes over a descriptor of -1.
    std::array<pollfd, 2> waiting = {pollfd{from, POLLIN, 0}, pollfd{to.get(), POLLOUT, 0}};
    if (poll(waiting.data(), waiting.size(), 200) <= 0) {
      continue;
    }
    if (waiting[1].revents != 0) {
      write_some(to, input);
    }
    if (waiting[0].revents == 0) {
      continue;
    }
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got == 0) {
      return true;
    }
    if (got > 0) {
      text.append(buffer.data(), static_cast<size_t>(got));
    }
  }
  return false;
}

Clock::time_point deadline_after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

Result<ProcessOutcome> outcome_of(const ProcessRequest& request, pid_t child, ProcessOutcome outcome) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (stop_requested()) {
    return fail(ErrorCode::kCancelled, "stopped");
  }
  outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (outcome.exit_status == kCouldNotStart) {
    return fail(ErrorCode::kIo, "{} cannot be started{}", request.program.string(),
                request.entrance.empty() ? "" : fmt::format(", or cannot enter {}", request.entrance.string()));
  }
  return outcome;
}

}  // namespace

Result<ProcessOutcome> run_process(const ProcessRequest& request) {
  std::vector<char*> pointers;
  pointers.reserve(request.arguments.size() + 1);
  for (const std::string& argument : request.arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  auto output = make_pipe();
  auto input = request.input.empty() ? Result<Pipe>(Pipe{}) : make_pipe();
  if (!output || !input) {
    return propagate(output ? input.error() : output.error());
  }
  const pid_t child = fork();
  if (child < 0) {
    return fail(ErrorCode::kIo, "{} cannot be started ({})", request.program.string(), errno_text(errno));
  }
  if (child == 0) {
    become(request.program.c_str(), pointers.data(), request.entrance.c_str(), input->read.get(), output->write.get());
  }
  output->write = FileDescriptor();
  input->read = FileDescriptor();
  if (input->write.get() >= 0) {
    fcntl(input->write.get(), F_SETFL, O_NONBLOCK);
  }
  ProcessOutcome outcome;
  outcome.timed_out = !exchange(input->write, request.input, output->read.get(),
                                deadline_after(request.timeout_seconds), outcome.output);
  if (outcome.timed_out) {
    kill(child, SIGKILL);
  }
  return outcome_of(request, child, std::move(outcome));
}

}  // namespace hypura
