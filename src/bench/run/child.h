// The hidden side of a benchmark: the process that makes one measured run.
#pragma once

#include <string>

namespace hypura {

// The first argument that makes a program (hypura, hypura-bench) such a process; the second is the RunSpec as JSON.
inline constexpr const char* kChildCommand = "measure-one-run";

// Makes the run and prints its RunResult as one line of JSON on standard output. Gives the exit status.
int run_as_child(const std::string& spec);

}  // namespace hypura
