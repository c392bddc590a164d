// A model split over several files, NAME-00001-of-00003.gguf and so on: which files, and whether they belong together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "model/metadata.h"

namespace hypura {

// A file's place in its set; a file on its own is part 0 of 1.
struct SplitPlace {
  int64_t index = 0;
  int64_t count = 1;
  int64_t tensors = 0;  // in all parts together; 0 for a file on its own
};

// Fails with kBadModel when the split.* keys are not complete or not possible.
Result<SplitPlace> read_split_place(const Metadata& metadata);

// The paths of all parts, in order, told from the path of the part at `place`. Fails with kBadModel when that path is
// not named as that part. Does not look whether the files exist.
Result<std::vector<std::filesystem::path>> split_paths(const std::filesystem::path& path, const SplitPlace& place);

// The name of a model's file without directory, the part's number and the extension.
std::string base_name(const std::filesystem::path& path, const SplitPlace& place);

}  // namespace hypura
