// A child process for each measured run: no state of an earlier run is inherited.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura::bench {

struct ProcessOutcome {
  std::string output;  // what it wrote to standard output
  int exit_status = 0;
  int signal = 0;  // that ended it, or 0
  bool timed_out = false;
};

// Runs a program with its arguments (the first is its name) and waits for it. It enters the cgroup whose cgroup.procs
// file is `entrance` (none when empty) before it becomes the program, so that all it loads is charged there; it is
// killed when the caller's process ends, when a stop is requested (system_state.h) and after `timeout_seconds`. Not
// for use while other threads run. Fails with kIo when it cannot be started, kCancelled when a stop was requested.
Result<ProcessOutcome> run_process(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                                   const std::filesystem::path& entrance, double timeout_seconds);

}  // namespace hypura::bench
