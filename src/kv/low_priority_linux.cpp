#include <sys/syscall.h>
#include <unistd.h>

#include "kv/low_priority.h"

namespace hypura {

namespace {

// From ioprio_set(2). Some versions of <linux/ioprio.h> are no C++: a function there has a parameter called `class`.
constexpr int kOfProcess = 1;    // IOPRIO_WHO_PROCESS; with 0, the calling thread
constexpr int kIdleClass = 3;    // IOPRIO_CLASS_IDLE
constexpr int kClassShift = 13;  // IOPRIO_CLASS_SHIFT

}  // namespace

void lower_disk_priority() {
  ::syscall(SYS_ioprio_set, kOfProcess, 0, kIdleClass << kClassShift);
}

}  // namespace hypura
