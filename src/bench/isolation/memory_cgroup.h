// A memory cgroup for one child process (version 1 or 2, whichever the system has mounted); Linux only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hypura/result.h"

namespace hypura {

// Owns the cgroup's directory and removes it; the processes in it must have ended by then. Movable, not copyable.
class MemoryCgroup {
 public:
  // Makes a cgroup `name` that may hold `limit` bytes, swap included. `mount` is where cgroups are mounted. Fails with
  // kIo, saying what is missing: no cgroup file system, no right to write there, or a system without cgroups.
  static Result<MemoryCgroup> create(const std::string& name, uint64_t limit,
                                     const std::filesystem::path& mount = "/sys/fs/cgroup");

  MemoryCgroup(MemoryCgroup&& other) noexcept;
  MemoryCgroup& operator=(MemoryCgroup&& other) = delete;
  MemoryCgroup(const MemoryCgroup&) = delete;
  MemoryCgroup& operator=(const MemoryCgroup&) = delete;
  ~MemoryCgroup();

  // The file into which a process writes "0" to enter.
  std::filesystem::path entrance() const { return folder_ / "cgroup.procs"; }

  // Most bytes that were charged so far, page cache included; 0 when the kernel does not keep it (v2 before 5.19).
  uint64_t peak() const;

  // Bytes of page cache that are charged now.
  uint64_t page_cache() const;

  // Whether the kernel killed a process of this cgroup because the limit was reached.
  bool out_of_memory() const;

  int version() const { return version_; }

 private:
  MemoryCgroup(std::filesystem::path folder, int version) : folder_(std::move(folder)), version_(version) {}

  std::filesystem::path folder_;  // empty when moved from
  int version_ = 1;
};

}  // namespace hypura
