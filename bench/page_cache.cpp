#include "bench/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace hypura::bench {

Result<uint64_t> cached_bytes(const std::filesystem::path& file) {
  const auto cannot = [&file] {
    return fail(ErrorCode::kIo, "{}: what lies in the page cache cannot be told ({})", file.string(),
                std::strerror(errno));
  };
  const int opened = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (opened < 0 || fstat(opened, &status) != 0) {
    return cannot();
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* mapped = mmap(nullptr, std::max<size_t>(size, 1), PROT_READ, MAP_SHARED, opened, 0);
  close(opened);
  if (mapped == MAP_FAILED) {
    return cannot();
  }
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> present((size + page - 1) / page);
  const int result = mincore(mapped, size, present.data());
  munmap(mapped, std::max<size_t>(size, 1));
  if (result != 0) {
    return cannot();
  }
  const auto is_present = [](unsigned char flags) { return (flags & 1U) != 0; };
  return static_cast<uint64_t>(std::count_if(present.begin(), present.end(), is_present)) * page;
}

}  // namespace hypura::bench
