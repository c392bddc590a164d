// Repacked copies: a model's files once more, with the matrices that are streamed in the layout that ggml's CPU kernels
// are fastest with on this machine. What is read from disk is then computed as fast as what llama.cpp keeps in memory,
// and with the same bits. docs/guide/repack.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// The name of the copy of one file.
std::filesystem::path repacked_name(const std::filesystem::path& file);

struct RepackSummary {
  std::vector<std::filesystem::path> files;  // as written, beside the model's
  uint64_t bytes = 0;                        // of all of them
  uint64_t repacked_bytes = 0;               // of these, in another layout than before
};

// Writes the repacked copy of each file of the model that `path` belongs to: FILE.repacked, as large as FILE and 4 to 8
// KiB more. It appears under its name when it is complete; one that is there is replaced. `progress` is called with a
// share of 0..1, on the calling thread, and ends it by returning false: what was written of the file is then removed.
// Takes about 130 MiB and all cores.
//
// Fails as open_model(); with kUsage when nothing would be repacked, because ggml has no faster layout for the model's
// types on this processor; with kIo, naming the file, when the disk is too full or reading or writing fails; with
// kCancelled.
Result<RepackSummary> repack_model(const std::filesystem::path& path, const std::function<bool(double)>& progress = {});

}  // namespace hypura
