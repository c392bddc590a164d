// For the tests of this room: a temporary tree that stands in for /proc and /sys.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "machine/cgroup_linux.h"
#include "support/temp_dir_for_test.h"

namespace hypura {

class TestTree {
 public:
  const std::filesystem::path& root() const { return folder_.path(); }

  void write(const std::filesystem::path& path, const std::string& text) const {
    const std::filesystem::path file = below(root(), path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

 private:
  TempDir folder_;
};

}  // namespace hypura
