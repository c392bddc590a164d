// One measured run in a process of its own, and whether it may be believed.
#pragma once

#include "bench/rounds.h"

namespace hypura {

// Empties the page cache as the options say, sets the readahead, runs the arm's spec in its cgroup, restores the
// readahead. A run that failed, or that the page cache has spoilt, is a result with `error`. Fails as run_rounds does.
Result<RunResult> make_one_run(const RoundsOptions& options, const Arm& arm);

// find_plain_splits() in a process of `program`'s own, so that the caller's starts no GPU's driver. Fails as that does,
// and as run_process().
Result<PlainSplits> splits_in_child(const std::filesystem::path& program, RunSpec spec);

}  // namespace hypura
