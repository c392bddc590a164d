// What models are called by clients, and what tells one file from another. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/generator.h"
#include "server/model_host.h"

namespace hypura {

// "Stories-MoE:latest" of the card's name.
std::string served_name(const ModelCard& card);

// Whether a client means the model by `asked`: `name` is what served_name gave, `file` the model's first file. See
// ModelHost::find.
bool means_model(std::string_view asked, std::string_view name, const std::filesystem::path& file);

// Of `models` the one that a client means: by means_model, and else by another way to write the same name
// (store/names/model_name.h); of a repository without a quantization Q4_K_M, Q8_0 or the first. Null when there is
// none.
ModelPtr find_by_name(const std::vector<ModelPtr>& models, const std::string& asked);

// 64 hexadecimal digits: four 64-bit FNV-1a hashes, of different starts, over what the headers say, the sizes, and the
// last 64 KiB of the file, which are weights. It looks like the SHA-256 that clients expect and tells models apart, but
// is no protection against one made to look like another; a SHA-256 would have to read all the file.
std::string model_digest(const ModelCard& card, const std::filesystem::path& file);

}  // namespace hypura
