// What the environment says.
#pragma once

#include <filesystem>
#include <optional>

namespace hypura {

// The path in an environment variable; nothing when it is not set or not absolute (the XDG base directory specification
// has relative ones ignored).
std::optional<std::filesystem::path> path_from_environment(const char* variable);

}  // namespace hypura
