#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include "bench/isolation/machine_state.h"
#include "bench/isolation/memory_cgroup.h"
#include "support/fail.h"

namespace hypura {

namespace {

namespace fs = std::filesystem;

// The value after `key` in a file of "key value" lines; 0 without it.
uint64_t keyed_value(const fs::path& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  uint64_t value = 0;
  while (file >> name >> value) {
    if (name == key) {
      return value;
    }
  }
  return 0;
}

bool has_word(const fs::path& path, const std::string& word) {
  std::ifstream file(path);
  for (std::string found; file >> found;) {
    if (found == word) {
      return true;
    }
  }
  return false;
}

Status set_limits(const fs::path& folder, int version, uint64_t limit) {
  const std::string bytes = std::to_string(limit);
  if (Status status = write_setting(folder / (version == 1 ? "memory.limit_in_bytes" : "memory.max"), bytes); !status) {
    return status;
  }
  // A kernel without swap accounting lacks this file.
  const fs::path swap = folder / (version == 1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max");
  return fs::exists(swap) ? write_setting(swap, version == 1 ? bytes : "0") : Status{};
}

}  // namespace

Result<MemoryCgroup> MemoryCgroup::create(const std::string& name, uint64_t limit, const fs::path& mount) {
  const bool v1 = fs::exists(mount / "memory" / "memory.limit_in_bytes");
  if (!v1 && !has_word(mount / "cgroup.controllers", "memory")) {
    return fail(ErrorCode::kIo, "{} has no memory cgroups, neither version 1 nor 2", mount.string());
  }
  if (!v1 && !has_word(mount / "cgroup.subtree_control", "memory")) {
    if (Status status = write_setting(mount / "cgroup.subtree_control", "+memory"); !status) {
      return propagate(status.error());
    }
  }
  const fs::path folder = (v1 ? mount / "memory" : mount) / name;
  std::error_code error;
  if (!fs::create_directory(folder, error)) {
    return fail(ErrorCode::kIo, "{}: cannot create the memory cgroup ({}); run as root", folder.string(),
                error ? error.message() : "it exists already");
  }
  MemoryCgroup cgroup(folder, v1 ? 1 : 2);
  if (Status status = set_limits(folder, cgroup.version_, limit); !status) {
    return propagate(status.error());
  }
  return cgroup;
}

MemoryCgroup::MemoryCgroup(MemoryCgroup&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), version_(other.version_) {}

MemoryCgroup::~MemoryCgroup() {
  // The kernel takes a moment to notice that the last process is gone.
  for (int attempt = 0; !folder_.empty() && attempt < 50; ++attempt) {
    if (rmdir(folder_.c_str()) == 0 || errno == ENOENT) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

uint64_t MemoryCgroup::peak() const {
  uint64_t bytes = 0;
  std::ifstream(folder_ / (version_ == 1 ? "memory.max_usage_in_bytes" : "memory.peak")) >> bytes;
  return bytes;
}

uint64_t MemoryCgroup::page_cache() const {
  return keyed_value(folder_ / "memory.stat", version_ == 1 ? "cache" : "file");
}

bool MemoryCgroup::out_of_memory() const {
  return keyed_value(folder_ / (version_ == 1 ? "memory.oom_control" : "memory.events"), "oom_kill") > 0;
}

}  // namespace hypura
