// Files that are replaced as a whole.
#pragma once

#include <filesystem>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

// Writes a new file beside `path` and renames it over it, so that readers see the old text or the new one, never a
// part. The folder must be there; who may read the file is the umask's to say. Of several writers the last one stands.
// Fails with kIo, naming the file; then `path` is as it was. Any thread.
Status replace_file(const std::filesystem::path& path, std::string_view text);

// The same for what the program keeps for itself: makes the folders that are missing, readable by the user only.
Status write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace hypura
