// Which files a mirror of a model has, and whether they are what the model's own files are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "hypura/result.h"
#include "storage/reader.h"

namespace hypura {

// A file of the model.
struct MirroredFile {
  std::filesystem::path path;
  uint64_t header_bytes = 0;  // from its start: compared whole
};

// The mirrors at `places`. A place is a folder, with files of the same names as the model's, perhaps not of all of
// them; or a file, a copy of the one of that name, else of the first, with those of other names beside it.
//
// Each copy is compared with its file: size, header, and some blocks of the data, read directly if `direct` and
// possible. Fails with kIo for what is not there or cannot be read, with kUsage for a file that is no second copy but
// the same one again, and with kBadModel, naming both files and the offset, for a copy that differs.
Result<std::vector<Mirror>> find_mirrors(const std::vector<MirroredFile>& files,
                                         const std::vector<std::filesystem::path>& places, bool direct);

}  // namespace hypura
