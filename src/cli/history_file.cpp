#include "cli/history_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace hypura {

std::optional<std::filesystem::path> history_path() {
  const auto absolute = [](const char* variable) {
    const char* value = std::getenv(variable);
    std::filesystem::path path = value != nullptr ? value : "";
    return path.is_absolute() ? std::optional(path) : std::nullopt;
  };
  if (const auto state = absolute("XDG_STATE_HOME")) {
    return *state / "hypura" / "history";
  }
  if (const auto home = absolute("HOME")) {
    return *home / ".local" / "state" / "hypura" / "history";
  }
  return std::nullopt;
}

bool prepare_history_file(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return false;
  }
  const bool is_private = ::fchmod(fd, S_IRUSR | S_IWUSR) == 0;
  ::close(fd);
  return is_private;
}

}  // namespace hypura
