#include "support/cache_folder.h"

#include "support/environment.h"

namespace hypura {

std::optional<std::filesystem::path> cache_folder() {
  if (const auto caches = path_from_environment("XDG_CACHE_HOME")) {
    return *caches / "hypura";
  }
  if (const auto home = path_from_environment("HOME")) {
    return *home / caches_in_home() / "hypura";
  }
  return std::nullopt;
}

}  // namespace hypura
