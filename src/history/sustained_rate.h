// What the disk under a model gives for long, learned while running: a profile sees only a disk's first seconds.
#pragma once

#include <filesystem>
#include <optional>

#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

// Bytes a second that decoding with these counters got; nothing when they do not tell: it has to have gone on for 20 s,
// and half of all computing's time has to have been waiting for reads, so that the disk was the limit. (That reads were
// under way, EngineStats::disk_busy_seconds, says less: it counts the time until an end is noticed.) Holds where whole
// layers are read one after another; single experts leave the disk waiting for the next layer's choice.
std::optional<double> sustained_rate(const EngineStats& stats);

// Saves it in the cached profile of the disk under `path`, and in none when there is none. Fails with kIo as
// store_profile() does, or when `path` cannot be read.
Status save_sustained_rate(const std::filesystem::path& path, double bytes_per_second);

}  // namespace hypura
