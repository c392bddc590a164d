// The mounted file systems, from /proc/self/mountinfo (man 5 proc).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hypura {

// One line, as far as it matters.
struct Mount {
  std::string root;   // the directory of the file system that is mounted,
  std::string point;  // and where
  std::string type;
  std::string source;   // "/dev/nvme0n1p2"
  std::string options;  // of the file system; for cgroup v1 they name the controllers
};

// In the kernel's order: of several at one point the last one is seen. `root` is put before /proc. Lines that make no
// sense are left out; none when there is no /proc.
std::vector<Mount> read_mounts(const std::filesystem::path& root);

}  // namespace hypura
