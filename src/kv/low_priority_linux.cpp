#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kv/low_priority.h"

namespace hypura {

void lower_disk_priority() {
  ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

}  // namespace hypura
