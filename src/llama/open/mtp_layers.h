// Layers that predict further tokens (multi-token prediction, MTP; "nextn" in GGUF): which models can draft by them,
// and what is left of a model when they are not used. What llama.cpp does with them is told here from its source.
#pragma once

#include <cstdint>
#include <string_view>

#include "hypura/result.h"
#include "model/model.h"

namespace hypura {

// Whether the model has such layers and llama.cpp can compute them beside it; else a sentence that says what is missing
// (kUsage).
Status check_mtp(const Model& model);

// The model as it is computed with: without `mtp` its MTP layers are among the unused.
Model used_part(const Model& model, bool mtp);

// Whether llama.cpp loads a model of this architecture without tensors that are not in the file, when they are of its
// MTP layers and not to be loaded; of others it must be told of them, though it skips them.
bool may_lack_mtp(std::string_view architecture);

// Bytes of the unused that llama.cpp loads all the same, from a file that has them.
uint64_t loaded_though_unused(const Model& model);

}  // namespace hypura
