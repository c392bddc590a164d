#include <fstream>
#include <string>

#include "storage/process_reads.h"
#include "support/fail.h"

namespace hypura {

Result<uint64_t> process_read_bytes() {
  std::ifstream file("/proc/self/io");
  std::string key;
  uint64_t value = 0;
  while (file >> key >> value) {
    if (key == "read_bytes:") {
      return value;
    }
  }
  return fail(ErrorCode::kIo, "/proc/self/io has no read_bytes: the kernel must be built with task I/O accounting");
}

}  // namespace hypura
