#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "bench/isolation/machine_state.h"
#include "bench/isolation/readahead.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace fs = std::filesystem;

Result<Readahead> Readahead::of(const fs::path& file) {
  struct stat status {};
  if (stat(file.c_str(), &status) != 0) {
    return fail(ErrorCode::kIo, "{}: {}", file.string(), std::strerror(errno));
  }
  auto readahead = of_device(status.st_dev);
  if (!readahead) {
    return propagate(readahead.error(), file.string());
  }
  return readahead;
}

Result<Readahead> Readahead::of_device(dev_t device, const fs::path& root) {
  const std::string link = fmt::format("sys/dev/block/{}:{}", major(device), minor(device));
  std::error_code error;
  const fs::path folder = fs::canonical((root.empty() ? fs::path("/") : root) / link, error);
  if (error) {
    return fail(ErrorCode::kIo, "its file system is not on one block device (/{} is missing)", link);
  }
  // A partition has no queue of its own: its disk's is in the folder above.
  for (const fs::path& disk : {folder, folder.parent_path()}) {
    const fs::path setting = disk / "queue" / "read_ahead_kb";
    uint32_t kib = 0;
    if (std::ifstream(setting) >> kib) {
      return Readahead(setting, kib);
    }
  }
  return fail(ErrorCode::kIo, "{} has no queue/read_ahead_kb", folder.string());
}

Readahead::Readahead(Readahead&& other) noexcept
    : setting_(std::exchange(other.setting_, {})), own_kib_(other.own_kib_), kib_(other.kib_) {
  other.kib_ = other.own_kib_;
}

Readahead::~Readahead() {
  if (Status status = restore(); !status) {
    logger().error("{}; it was {}", status.error().message, own_kib_);
  }
}

Status Readahead::set(uint32_t kib) {
  if (kib == kib_) {
    return {};
  }
  if (Status status = write_setting(setting_, std::to_string(kib)); !status) {
    return status;
  }
  kib_ = kib;
  return {};
}

}  // namespace hypura
