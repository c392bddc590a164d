// A file that one process at a time holds, as huggingface_hub and others lock theirs: flock(2).
#pragma once

#include <filesystem>
#include <functional>

#include "hypura/result.h"

namespace hypura {

// Whether to go on: asked again and again while something waits; false ends it with kCancelled.
using KeepGoing = std::function<bool()>;

// Held until it is destroyed, or the process ends however it does. The file stays. Movable; not thread-safe. Two in one
// process exclude each other as well.
class FileLock {
 public:
  // Makes the file and its folders where they are missing. Waits for whoever holds it; `waiting`, where there is one,
  // is called once when it has to. Fails with kIo, and with kCancelled.
  static Result<FileLock> take(const std::filesystem::path& path, const KeepGoing& keep_going,
                               const std::function<void()>& waiting = {});

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace hypura
