// The dimensions of the model to generate: a preset of the architecture with the caller's wishes put over it.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <span>

#include "hypura/result.h"
#include "make_model/make_model.h"

namespace hypura {

enum class Arch { kDense, kMixtral, kQwen3Moe, kQwen2Moe, kGptOss, kFused, kGemma4, kDeepSeek2, kGlm4Moe, kQwen3Next };

// Files in which matrices have several types, as llama.cpp's quantiser and converter write them.
enum class Mixture { kNone, kQ4KM, kMxfp4Moe };

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
  Mixture mixture = Mixture::kNone;  // else which matrix has which type: type_of_matrix()
};

// deepseek2: of the latent vectors, in the proportions of DeepSeek-V3. The head size is that without the rotated part.
struct LatentShape {
  int64_t rank = 0;  // of keys and values
  int64_t query_rank = 0;
  int64_t rope = 0;  // numbers of a key that carry its position
};
LatentShape latent_shape(const Shape& shape);

// qwen3next: of the layers with a state, in the proportions of Qwen3-Next.
struct DeltaShape {
  int64_t state = 0;  // numbers of a head
  int64_t key_heads = 0;
  int64_t value_heads = 0;
  int64_t convolution = 4;  // tokens
};
DeltaShape delta_shape(const Shape& shape);

// qwen3next: every fourth layer.
inline constexpr int64_t kFullAttentionInterval = 4;
constexpr bool has_full_attention(int64_t layer) {
  return (layer + 1) % kFullAttentionInterval == 0;
}

// An expert as wide as the others that every token uses.
bool has_shared_expert(Arch arch);

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
