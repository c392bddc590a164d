#include "support/environment.h"

#include <cstdlib>

namespace hypura {

std::optional<std::filesystem::path> path_from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  std::filesystem::path path = value != nullptr ? value : "";
  return path.is_absolute() ? std::optional(path) : std::nullopt;
}

}  // namespace hypura
