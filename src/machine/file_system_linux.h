// The part of file_system_of() that tests can feed with recorded files.
#pragma once

#include <filesystem>
#include <string>

namespace hypura {

// "ext4 on /dev/vda" for an absolute path without links; empty when no mount holds it. `root` is put before /proc.
std::string mount_of(const std::filesystem::path& root, const std::filesystem::path& path);

}  // namespace hypura
