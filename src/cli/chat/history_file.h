// Where the conversation's input history is kept between runs.
#pragma once

#include <filesystem>
#include <optional>

namespace hypura {

// $XDG_STATE_HOME/hypura/history, or ~/.local/state/hypura/history; nothing when neither variable is an absolute path.
// Reads the environment, touches no file.
std::optional<std::filesystem::path> history_path();

// Makes the folder and an empty file that only the user may read, where they are missing. False when that failed.
bool prepare_history_file(const std::filesystem::path& path);

}  // namespace hypura
