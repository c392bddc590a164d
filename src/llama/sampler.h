// A chain of llama.cpp's samplers, in its default order.
#pragma once

#include <memory>

#include "hypura/engine.h"
#include "llama.h"

namespace hypura {

struct SamplerDeleter {
  void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};
using SamplerPtr = std::unique_ptr<llama_sampler, SamplerDeleter>;

// Penalties, then the likeliest at temperature 0; else top-k, typical-p, top-p, min-p, temperature, and a draw.
SamplerPtr make_sampler(const SamplingOptions& options, const llama_vocab* vocab);

}  // namespace hypura
