// Where Hypura keeps what it can make again: measurements and statistics.
#pragma once

#include <filesystem>
#include <optional>

namespace hypura {

// $XDG_CACHE_HOME/hypura, else ~/.cache/hypura (~/Library/Caches/hypura on macOS); nothing when neither variable is an
// absolute path. Reads the environment, touches no file.
std::optional<std::filesystem::path> cache_folder();

// The system's folder for caches, relative to the user's home (cache_folder_linux.cpp, cache_folder_darwin.cpp).
std::filesystem::path caches_in_home();

}  // namespace hypura
