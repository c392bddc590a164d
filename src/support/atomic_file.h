// Files that are replaced as a whole.
#pragma once

#include <filesystem>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

// Writes a new file beside `path` and renames it over it, so that readers see the old text or the new one, never a
// part; makes the folders that are missing. Readable by the user only. Of several writers the last one stands. Fails
// with kIo, naming the file; then `path` is as it was. Any thread.
Status write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace hypura
