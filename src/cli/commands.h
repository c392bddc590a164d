// The commands. Each returns the program's exit code, or the error that ends it.
#pragma once

#include "cli/options.h"
#include "hypura/result.h"

namespace hypura {

// One prompt, one answer on standard output.
Result<int> run_command(const RunOptions& options);

// A conversation: lines from the terminal or standard input, answers on standard output.
Result<int> chat_command(const RunOptions& options);

}  // namespace hypura
