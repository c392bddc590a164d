// For tests: where the small models that come with the project are.
#pragma once

#include <filesystem>

namespace hypura {

inline const std::filesystem::path kModels = std::filesystem::path(HYPURA_SOURCE_DIR) / "models";
inline const std::filesystem::path kStories = kModels / "hypura-stories-moe.gguf";

}  // namespace hypura
