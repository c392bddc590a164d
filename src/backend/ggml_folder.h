// Where ggml lies: its loadable backends are beside it, whatever program that is and wherever it was installed.
#pragma once

#include <filesystem>

namespace hypura {

// The folder of ggml's library. Empty when the system does not tell. Any thread.
std::filesystem::path ggml_folder();

}  // namespace hypura
