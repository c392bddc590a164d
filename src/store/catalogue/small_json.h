// Small JSON files, of ours and of other programs: nobody vouches for what is in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

inline constexpr uint64_t kMostSmallFile = 4 << 20;  // bytes; a manifest has some thousand

// The whole of a regular file. Fails with kIo when there is none, it cannot be read, or it is larger than `most`.
Result<std::string> read_small_file(const std::filesystem::path& file, uint64_t most = kMostSmallFile);

// The object in a file. Fails besides with kBadModel when it is no JSON object.
Result<nlohmann::json> read_small_json(const std::filesystem::path& file);

// The text under a key; empty when there is none, or it is no text.
std::string json_text(const nlohmann::json& object, std::string_view key);

// The array under a key; an empty one when there is none.
const nlohmann::json& json_array(const nlohmann::json& object, std::string_view key);

// Text for a file: what is no UTF-8 is replaced.
std::string json_dump(const nlohmann::json& json);

}  // namespace hypura
