// What `hypura repack` says before it starts.
#pragma once

#include <filesystem>
#include <string>

#include "hypura/repack.h"

namespace hypura {

// "MODEL in 6.0 GiB of memory: decode ... with a repacked copy": speeds with and without, and the room that it takes.
std::string repack_gain_text(const std::filesystem::path& model, const RepackGain& gain);

// Why a copy that gives nothing is not written, and what to do.
std::string repack_refusal(const std::filesystem::path& model, const RepackGain& gain);

}  // namespace hypura
