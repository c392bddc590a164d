// What the kernel counts of this process's reads: the measure that our own counters are held against.
#pragma once

#include <cstdint>

#include "hypura/result.h"

namespace hypura {

// Bytes that this process caused to be read from disk so far (/proc/self/io on Linux, proc_pid_rusage on macOS). Fails
// with kIo when the system does not tell. Any thread.
Result<uint64_t> process_read_bytes();

}  // namespace hypura
