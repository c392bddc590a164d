#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "bench/isolation/machine_state.h"
#include "bench/isolation/page_cache.h"
#include "storage/open.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr const char* kDropCaches = "/proc/sys/vm/drop_caches";

}  // namespace

Result<uint64_t> cached_bytes(const std::filesystem::path& file) {
  const auto cannot = [&file](const std::string& reason) {
    return fail(ErrorCode::kIo, "{}: cannot tell what is in the page cache ({})", file.string(), reason);
  };
  const FileDescriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (opened.get() < 0 || fstat(opened.get(), &status) != 0) {
    return cannot(errno_text(errno));
  }
  if (status.st_uid != geteuid() && access(file.c_str(), W_OK) != 0) {
    return cannot("the file is not this user's");
  }
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) {
    return 0;
  }
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, opened.get(), 0);
  if (mapped == MAP_FAILED) {
    return cannot(errno_text(errno));
  }
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> present((size + page - 1) / page);
  const int error = mincore(mapped, size, present.data()) == 0 ? 0 : errno;
  munmap(mapped, size);
  if (error != 0) {
    return cannot(errno_text(error));
  }
  const auto is_present = [](unsigned char flags) { return (flags & 1U) != 0; };
  return static_cast<uint64_t>(std::count_if(present.begin(), present.end(), is_present)) * page;
}

Status drop_file_cache(const std::filesystem::path& file) {
  const FileDescriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  // Pages that are not on disk yet would stay.
  const int error =
      opened.get() < 0 || fdatasync(opened.get()) != 0 ? errno : posix_fadvise(opened.get(), 0, 0, POSIX_FADV_DONTNEED);
  if (error != 0) {
    return fail(ErrorCode::kIo, "cannot drop {} from the page cache ({})", file.string(), errno_text(error));
  }
  return {};
}

Status drop_caches() {
  sync();
  return write_setting(kDropCaches, "3");
}

Status may_drop_caches() {
  const FileDescriptor opened(open(kDropCaches, O_WRONLY | O_CLOEXEC));
  if (opened.get() < 0) {
    return fail(ErrorCode::kIo, "{} cannot be opened for writing ({}); run as root", kDropCaches, errno_text(errno));
  }
  return {};
}

}  // namespace hypura
