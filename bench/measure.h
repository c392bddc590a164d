// The measuring loop, the same for both engines.
#pragma once

#include "bench/run_spec.h"
#include "bench/subject.h"

namespace hypura::bench {

// Opens the model, evaluates the prompt, decodes; each phase with its time and the bytes the kernel read for this
// process. Measures the calling process, so it wants one of its own.
Result<RunResult> measure(Subject& subject, const RunSpec& spec);

// Bytes that this process caused to be read from disk so far. Fails with kIo when /proc/self/io cannot be read.
Result<uint64_t> process_read_bytes();

}  // namespace hypura::bench
