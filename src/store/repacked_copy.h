// A model's repacked copy (hypura/repack.h): whether there is one that can be used here.
//
// FILE.packed has every tensor where FILE has it, so that what is known of one holds for the other. In the header's
// place are zeros, which no program takes for a model, and behind the last block a label tells what it was made of and
// for: the model file, by size and header, and the layouts, by what they make of a test matrix.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hypura/repack.h"
#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

inline constexpr uint64_t kRepackedLabelBytes = 4096;

// Where the label of the copy of a file of `bytes` begins.
uint64_t repacked_label_offset(uint64_t bytes);

// The label that the copy of file `file` of the model has when it is made now, without what fills it up. Fails with kIo
// when the file cannot be read. The CPU backend must be loaded.
Result<std::string> repacked_label(const Model& model, size_t file);

struct RepackedCopy {
  std::vector<std::filesystem::path> files;  // one for each of the model's; empty: there is none to be used
  std::string problem;                       // a sentence, where there is one that cannot be
};

// The CPU backend must be loaded.
RepackedCopy find_repacked(const Model& model);

}  // namespace hypura
