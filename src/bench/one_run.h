// One measured run in a process of its own, and whether it may be believed.
#pragma once

#include "bench/rounds.h"

namespace hypura {

// Empties the page cache as the options say, sets the readahead, runs the arm's spec in its cgroup, restores the
// readahead. A run that failed, or that the page cache has spoilt, is a result with `error`. Fails as run_rounds does.
Result<RunResult> make_one_run(const RoundsOptions& options, const Arm& arm);

}  // namespace hypura
