// A child process for each measured run: no state of an earlier run is inherited.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

struct ProcessRequest {
  std::filesystem::path program;
  std::vector<std::string> arguments;  // the first is the program's name
  // The cgroup.procs file of the cgroup to enter before becoming the program, so that all it loads is charged there;
  // empty: none.
  std::filesystem::path entrance;
  double timeout_seconds = 60;
  std::string input;  // written to its standard input, which is then closed; empty: it has the caller's
};

struct ProcessOutcome {
  std::string output;  // what it wrote to standard output
  int exit_status = 0;
  int signal = 0;  // that ended it, or 0
  bool timed_out = false;
};

// Runs a program and waits for it. It is killed when a stop is requested (machine_state.h), when its time is up and, on
// Linux, when the calling thread ends. SIGPIPE must be ignored where there is input. Fails with kIo when it cannot be
// started, kCancelled when a stop was requested.
Result<ProcessOutcome> run_process(const ProcessRequest& request);

// Linux: asks the kernel to kill this process when the thread that started it ends. macOS has no such thing: nothing.
// Safe between fork and exec.
void end_with_parent();

}  // namespace hypura
