#include "machine/file_system.h"

#include <sys/stat.h>

namespace hypura {

bool has_holes(const std::filesystem::path& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) {
    return false;
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  const uint64_t on_disk = static_cast<uint64_t>(status.st_blocks) * 512;  // man 3type stat: always units of 512
  return on_disk + size / 100 < size;
}

}  // namespace hypura
