// Opens the model a command was asked for and tells the user what is going on meanwhile.
#pragma once

#include <memory>

#include "cli/options/options.h"
#include "cli/output.h"
#include "hypura/engine.h"

namespace hypura {

// Finds the demo model when none was named. Writes to `notes`: which model when it was not named, a progress bar, the
// plan, with --verbose the ledger; with --stats json nothing but what --verbose adds. Fails as
// check_trace_path, find_demo_model and Engine::open do.
Result<std::unique_ptr<Engine>> open_model(const RunOptions& options, Output& notes);

// Saves the run history for later runs. A failure is only logged.
void close_model(Engine& engine);

}  // namespace hypura
