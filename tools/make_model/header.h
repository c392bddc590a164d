// The headers of the files of a model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "make_model/plan.h"
#include "make_model/vocab.h"

namespace hypura {

// One file of a model.
struct Part {
  std::filesystem::path path;
  std::vector<const TensorPlan*> tensors;  // in file order; point into the plan
  std::vector<uint8_t> header;             // everything before the tensor data, padding included
  std::vector<uint64_t> offsets;           // of each tensor, from the end of the header
  uint64_t bytes = 0;                      // of the whole file
};

// Distributes the tensors over the files, in order and evenly by bytes, and writes each file's header into memory. The
// plan must outlive the parts.
std::vector<Part> make_parts(const GeneratorPlan& plan, const Vocab& vocab);

}  // namespace hypura
