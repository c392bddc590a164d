// The measuring loop, the same for both engines.
#pragma once

#include "bench/run/bench_engine.h"
#include "bench/run/run_spec.h"

namespace hypura {

// Opens the model, evaluates the prompt, decodes; each phase with its time, the bytes the kernel read for this process
// and what the engine counted. Tokens are asked for one by one; with drafts, which come several at once, as one answer.
// Measures the calling process, so it wants one of its own. Fails with kUsage when prompt and answer do not fit the
// context, and as the engine does.
Result<RunResult> measure_run(BenchEngine& engine, const RunSpec& spec);

}  // namespace hypura
