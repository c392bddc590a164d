// Where this program lies.
#pragma once

#include <filesystem>

#include "hypura/result.h"

namespace hypura {

// The running program's file, symbolic links resolved.
Result<std::filesystem::path> executable_path();

}  // namespace hypura
