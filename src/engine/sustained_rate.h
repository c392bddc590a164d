// What the disk under a model gives for long, learned while running: a profile sees only a disk's first seconds.
#pragma once

#include <filesystem>
#include <optional>

#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

// Bytes a second that a run with these counters got; nothing when it does not tell: the disk has to have been busy for
// 20 s, and for nine tenths of the time in which tokens were computed. Holds where whole layers are read one after
// another; single experts leave the disk waiting for the next layer's choice.
std::optional<double> sustained_rate(const EngineStats& stats);

// Keeps it in the cached profile of the disk under `path`, and in none when there is none. Fails with kIo as
// store_profile() does, or when `path` cannot be read.
Status keep_sustained_rate(const std::filesystem::path& path, double bytes_per_second);

}  // namespace hypura
