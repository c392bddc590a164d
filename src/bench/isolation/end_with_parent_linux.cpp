#include <sys/prctl.h>

#include <csignal>

#include "bench/isolation/process.h"

namespace hypura {

void end_with_parent() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

}  // namespace hypura
