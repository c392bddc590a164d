// What a GGUF file is that is no language model, and what of a model's file is no part of its text.
#pragma once

#include <string_view>

#include "hypura/result.h"
#include "model/metadata.h"

namespace hypura {

// Fails with kBadModel, saying what the file is and what to do, when it says of itself that it is something else: an
// adapter (LoRA), a projector for images or sound (mmproj), a control vector, an importance matrix.
Status check_is_model(const Metadata& metadata);

// Whether the tensor is of a part that reads images or sound: "v.blk.0.attn_q.weight". Some files hold such parts
// beside the model, which llama.cpp keeps in files of their own and does not load.
bool is_of_other_part(std::string_view tensor);

// "a safetensors file", told from a file's first bytes, where they are of something that is taken for GGUF now and
// then; empty: nothing that is known.
std::string_view known_as(std::string_view first_bytes);

}  // namespace hypura
