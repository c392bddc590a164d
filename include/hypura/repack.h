// Repacked copies of a model's files, with the streamed matrices in the layout that is fastest for ggml's kernels on
// this processor. Streamed weights are then computed as fast as those that llama.cpp keeps in memory, with the same
// bits (docs/guide/repack.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hypura/plan.h"
#include "hypura/result.h"

namespace hypura {

// The name of the copy of one file.
std::filesystem::path repacked_name(const std::filesystem::path& file);

// What a model's repacked copy gives on this machine.
struct RepackGain {
  Plan plain;                     // for the model as it is
  double tokens_per_second = 0;   // of decoding from a copy; 0: none would be read
  double prefill512_seconds = 0;  // for a prompt of 512 tokens, likewise
  uint64_t copy_bytes = 0;        // of disk, for all files
  // Why it gives nothing: a sentence without its full stop. Empty where a token or a prompt takes at least
  // kLeastRepackGain less time.
  std::string nothing;
  bool writable = true;  // repack_model() has something to write: ggml has a faster layout for some of its types here
  std::string assumed;   // " by assumed speeds (...)", or what else was not measured: empty where everything was
};

// Chosen: predictions of the same model do not tell smaller differences apart.
inline constexpr double kLeastRepackGain = 0.02;

// Plans the model with and without a repacked copy, whether it has one or not; by assumed speeds without `profile`.
// Reads the headers only. Any thread. Fails as plan_model().
Result<RepackGain> predict_repack_gain(const EngineOptions& options, const MachineProfile* profile);

struct RepackSummary {
  std::vector<std::filesystem::path> files;  // as written, beside the model's
  uint64_t bytes = 0;                        // of all of them
  uint64_t repacked_bytes = 0;               // of these, in another layout than before
};

// Writes the repacked copy of each file of the model that `path` belongs to: FILE.packed, as large as FILE and 4 to 8
// KiB more. It gets its name when it is complete, and replaces an older one. `progress` is called on
// the calling thread with progress from 0 to 1; it returns false to cancel, and the unfinished file is removed. Takes
// about 130 MiB and all cores.
//
// Fails as open_model(); with kUsage when nothing would be repacked, because ggml has no faster layout for the model's
// types on this processor; with kIo, naming the file, when the disk is too full or reading or writing fails; with
// kCancelled.
Result<RepackSummary> repack_model(const std::filesystem::path& path, const std::function<bool(double)>& progress = {});

}  // namespace hypura
