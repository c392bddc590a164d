// The dimensions of the model to generate: a preset of the architecture with the caller's wishes put over it.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <span>

#include "hypura/result.h"
#include "make_model/make_model.h"

namespace hypura {

enum class Arch { kDense, kMixtral, kQwen3Moe, kQwen2Moe, kGptOss, kFused, kGemma4 };

struct Shape {
  int64_t embedding = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ff = 0;       // 0 where the architecture has no dense part
  int64_t experts = 0;  // 0: dense
  int64_t experts_used = 0;
  int64_t expert_ff = 0;
  int64_t layers = 0;  // in a preset: the most layers for which it is still the natural choice
};

// The chosen names, checked.
struct Choice {
  Arch arch = Arch::kDense;
  ggml_type type = GGML_TYPE_Q4_0;
  ggml_type down_type = GGML_TYPE_Q4_0;
};

// Resolves the names in `spec`; fails with kUsage and the list of what is known.
Result<Choice> parse_choice(const ModelSpec& spec);

// The presets of one architecture, from tiny to huge.
std::span<const Shape> presets(Arch arch);

// `preset` with the dimensions of `spec` over it. Preset dimensions are rounded up to what the quantised types need;
// the caller's own that do not fit are refused with kUsage. `layers` is set only if the spec says so.
Result<Shape> resolve_shape(const ModelSpec& spec, const Choice& choice, const Shape& preset);

// Weights come in units of at least this many, so rows must be a multiple of it.
int64_t row_unit(ggml_type type);

}  // namespace hypura
