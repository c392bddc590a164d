// --trace FILE: the routing of a run, written at its end.
#pragma once

#include "cli/options/options.h"
#include "cli/output.h"
#include "hypura/engine.h"

namespace hypura {

// Refuses, before a model is loaded, a file whose folder is not there (kUsage).
Status check_trace_path(const RunOptions& options);

// Writes what `engine` recorded where `options` say, if they do, and notes that it did, unless statistics are JSON.
// Fails as write_routing_trace does.
Status write_trace(const RunOptions& options, const Engine& engine, Output& notes);

}  // namespace hypura
