// Tells a tensor's layer and role from its name and shape.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "model/model.h"

namespace hypura {

// N of a name that starts with "blk.N."; else -1. An encoder's or decoder's own layers ("enc.blk.N.") give -1: they
// are counted apart, and N would name two layers.
int layer_of(std::string_view name);

// Never fails: what it does not know is kOther. Experts stored as one 2-D tensor each ("ffn_gate.N", files from before
// 2024) are kDenseFfn: there are no slices to choose from, and llama.cpp no longer runs such files.
TensorRole role_of(std::string_view name, const std::array<int64_t, 4>& shape);

}  // namespace hypura
