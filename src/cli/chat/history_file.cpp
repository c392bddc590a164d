#include "cli/chat/history_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/environment.h"

namespace hypura {

std::optional<std::filesystem::path> history_path() {
  if (const auto state = path_from_environment("XDG_STATE_HOME")) {
    return *state / "hypura" / "history";
  }
  if (const auto home = path_from_environment("HOME")) {
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
