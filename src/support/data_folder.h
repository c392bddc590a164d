// Where Hypura keeps what it cannot make again: which models it fetched, names that the user gave.
#pragma once

#include <filesystem>
#include <optional>

namespace hypura {

// $XDG_DATA_HOME/hypura, else ~/.local/share/hypura (~/Library/Application Support/hypura on macOS); nothing when
// neither variable is an absolute path. Reads the environment, touches no file.
std::optional<std::filesystem::path> data_folder();

// The system's folder for data, relative to the user's home (data_folder_linux.cpp, data_folder_darwin.cpp).
std::filesystem::path data_in_home();

}  // namespace hypura
