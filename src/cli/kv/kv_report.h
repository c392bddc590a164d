// What `hypura kv` shows, for people and for programs.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kv/kv_disk.h"

namespace hypura {

// A table; ends with a line break.
std::string kv_text(const std::vector<KvFolder>& folders, const std::filesystem::path& root);

// Sizes in bytes, ages in seconds.
nlohmann::ordered_json kv_to_json(const std::vector<KvFolder>& folders, const std::filesystem::path& root);

// Those of a model, which is named by its path, or the name of its first file with or without ".gguf".
std::vector<KvFolder> kv_of_model(const std::vector<KvFolder>& folders, const std::filesystem::path& model);

}  // namespace hypura
