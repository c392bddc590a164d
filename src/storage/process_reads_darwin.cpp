#include <libproc.h>
#include <sys/resource.h>
#include <unistd.h>

#include "storage/process_reads.h"
#include "support/fail.h"

namespace hypura {

Result<uint64_t> process_read_bytes() {
  rusage_info_v2 usage = {};
  if (proc_pid_rusage(getpid(), RUSAGE_INFO_V2, reinterpret_cast<rusage_info_t*>(&usage)) != 0) {
    return fail(ErrorCode::kIo, "the system does not report how much this process read from disk");
  }
  return usage.ri_diskio_bytesread;
}

}  // namespace hypura
