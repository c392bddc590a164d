#include "support/data_folder.h"

#include "support/environment.h"

namespace hypura {

std::optional<std::filesystem::path> data_folder() {
  if (const auto data = path_from_environment("XDG_DATA_HOME")) {
    return *data / "hypura";
  }
  if (const auto home = path_from_environment("HOME")) {
    return *home / data_in_home() / "hypura";
  }
  return std::nullopt;
}

}  // namespace hypura
