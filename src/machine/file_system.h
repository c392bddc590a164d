// Which file system a path lies on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hypura/result.h"

namespace hypura {

// A file system's type, source and identity: "ext4 on /dev/vda, id 254:0.1f2e3d4c5b6a7988". The identity is the device
// number and what the file system itself says (f_fsid), because numbers change after a restart. Fails with kIo
// when the path cannot be looked at.
Result<std::string> file_system_of(const std::filesystem::path& path);

// Whether parts of the file have no place on disk, so that reading them costs nothing. Some blocks of bookkeeping are
// forgiven: 1 % of the file. False for what is not there.
bool has_holes(const std::filesystem::path& file);

}  // namespace hypura
