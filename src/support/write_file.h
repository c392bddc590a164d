// A text into a file, in place: unlike atomic_file.h for whatever a user names, /dev/stdout and pipes among it.
#pragma once

#include <filesystem>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

// Makes or overwrites the file. Fails with kIo, naming it.
Status write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace hypura
