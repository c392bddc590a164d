// Which files of a folder or repository make a model, and which of several models a name means. Pure text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// One model: a GGUF file, or all parts of a split one.
struct GgufSet {
  std::string stem;                // path without the part's number and .gguf, e.g. Q4_K_M/model-Q4_K_M
  std::string quant;               // e.g. Q4_K_M, upper case; empty: the name tells none
  std::vector<std::string> files;  // as given; the parts in order
  size_t parts = 1;                // that there should be; more than files.size(): some are missing
  bool whole() const { return files.size() == parts; }
};

// NAME-00002-of-00003.gguf: stem NAME, part 2 of 3. A file on its own is part 1 of 1.
struct GgufPart {
  std::string stem;
  size_t part = 1;
  size_t parts = 1;
};

// Nothing when the name does not end in .gguf (in any case), or its part's number is not possible.
std::optional<GgufPart> gguf_part(std::string_view file);

// Whether a GGUF file is no model of its own but a projector for images or sound (mmproj), or an importance matrix.
bool is_companion(std::string_view file);

// The quantization that a file's name tells, upper case; empty: none. The last one in the name, with UD- before it.
std::string quant_of(std::string_view file);

// The models among `files` (paths relative to one folder), without projectors, sorted by stem. What is no GGUF file is
// passed over.
std::vector<GgufSet> gguf_sets(const std::vector<std::string>& files);

// The set that `quant` names, without regard to case: by its quantization (UD- may be left out) or by its whole stem;
// with an empty one Q4_K_M, then Q8_0, then the first. `where` begins the sentence of the error: kBadModel when there
// is no set, kUsage when none or several have that quantization, listing those that there are.
Result<GgufSet> choose_set(const std::vector<GgufSet>& sets, std::string_view quant, std::string_view where);

}  // namespace hypura
