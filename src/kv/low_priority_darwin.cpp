#include <sys/resource.h>

#include "kv/low_priority.h"

namespace hypura {

void lower_disk_priority() {
  ::setiopolicy_np(IOPOL_TYPE_DISK, IOPOL_SCOPE_THREAD, IOPOL_THROTTLE);
}

}  // namespace hypura
