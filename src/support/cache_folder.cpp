#include "support/cache_folder.h"

#include <cstdlib>

namespace hypura {

std::optional<std::filesystem::path> cache_folder() {
  const auto absolute = [](const char* variable) {
    const char* value = std::getenv(variable);
    std::filesystem::path path = value != nullptr ? value : "";
    return path.is_absolute() ? std::optional(path) : std::nullopt;
  };
  if (const auto caches = absolute("XDG_CACHE_HOME")) {
    return *caches / "hypura";
  }
  if (const auto home = absolute("HOME")) {
    return *home / caches_in_home() / "hypura";
  }
  return std::nullopt;
}

}  // namespace hypura
