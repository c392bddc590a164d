// How far ahead the kernel reads on the disk under a file: it decides how fast mapped weights are, so it is a part of
// the comparison. Linux only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>

#include "hypura/result.h"

namespace hypura {

// Remembers the setting it found and restores it when destroyed. Movable, not copyable.
class Readahead {
 public:
  // For the disk under `file`. Fails with kIo when that is no block device (tmpfs, a network, an overlay), and
  // on macOS.
  static Result<Readahead> of(const std::filesystem::path& file);

  // For a device number as stat gives it; `root` is put before /sys, for tests.
  static Result<Readahead> of_device(dev_t device, const std::filesystem::path& root = {});

  Readahead(Readahead&& other) noexcept;
  Readahead& operator=(Readahead&&) = delete;
  Readahead(const Readahead&) = delete;
  Readahead& operator=(const Readahead&) = delete;
  ~Readahead();

  uint32_t own_kib() const { return own_kib_; }

  // For files opened from now on. Fails with kIo without the right to.
  Status set(uint32_t kib);
  Status restore() { return set(own_kib_); }

 private:
  Readahead(std::filesystem::path setting, uint32_t kib) : setting_(std::move(setting)), own_kib_(kib), kib_(kib) {}

  std::filesystem::path setting_;
  uint32_t own_kib_;
  uint32_t kib_;  // in force now
};

}  // namespace hypura
