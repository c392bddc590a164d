// The tokens that may come next, as samplers and grammars change them.
#pragma once

#include <cstdint>

namespace hypura {

// One of them. It is laid out as llama.cpp's llama_token_data, which works on it in place.
struct Candidate {
  int32_t token = 0;
  float logit = 0;        // -infinity: it may not come
  float probability = 0;  // for the samplers
};

}  // namespace hypura
