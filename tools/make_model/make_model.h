// Generates GGUF models with random weights for tests and benchmarks: real architectures, real tokenizers, real
// quantised blocks, but nothing learned. Everything is decided by the ModelSpec; the same spec gives the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hypura/result.h"

namespace hypura {

// What to generate. A zero or an empty string means "take the preset of the architecture": tiny (some MB), or the
// preset whose natural depth comes nearest when `size` is set.
struct ModelSpec {
  std::filesystem::path output;  // "m.gguf"; with split > 1 the parts are m-00001-of-0000N.gguf
  // dense, mixtral, qwen3moe, qwen2moe, gpt-oss, fused, gemma4, deepseek2 (MLA), glm4moe, qwen3next (hybrid)
  std::string arch = "dense";
  // Q4_0, Q8_0, Q2_K, Q4_K, Q6_K, F16: every matrix but the router. Or a mixture: Q4_K_M, with Q6_K for what weighs
  // more, or MXFP4_MOE, experts in MXFP4 and all else in Q8_0
  std::string type = "Q4_0";
  std::string down_type;  // another type for ffn_down and ffn_down_exps; empty: `type`
  uint64_t size = 0;      // bytes to come near by choosing the number of layers; 0: the preset's layers
  int64_t layers = 0;     // exclusive with `size`
  int64_t embedding = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t ff = 0;  // dense layers; qwen2moe: the shared expert
  int64_t experts = 0;
  int64_t experts_used = 0;
  int64_t expert_ff = 0;
  int64_t context = 4096;       // tokens the file claims to be trained for
  std::filesystem::path vocab;  // GGUF whose tokenizer is copied; empty: the project's stories model
  int64_t vocab_tokens = 0;     // pads that vocabulary with unused tokens to so many; 0: as it is
  bool tied = false;            // the token embeddings are the output matrix too; gemma4: always
  int64_t per_layer = 256;      // gemma4: numbers that the table of per-layer embeddings has for a token and a layer
  int64_t split = 1;            // number of files
  double skew = 0.0;            // Zipf-like exponent of expert popularity; 0: no expert is preferred
  int64_t quiet_after = 0;      // layers after the first so many add only a little to the hidden state; 0: off
  int64_t mtp = 0;              // fused: layers after the others that predict further tokens; repeat the first one
  int64_t keep_layers = 0;      // writes the first so many layers of the model that the rest describes; 0: all
  uint64_t seed = 1;
  bool sparse = false;  // real headers over a hole: the file has its full length but takes no disk space, all zero
};

// Writes the model and returns the path to open (the first part of a split model). Each file appears under its final
// name only when complete. Uses about 100 MB of memory whatever the size, and leaves the page cache alone. Fails with
// kUsage for a spec that cannot be, kBadModel for a vocabulary file without tokenizer, kIo when writing fails.
Result<std::filesystem::path> make_model(const ModelSpec& spec);

}  // namespace hypura
