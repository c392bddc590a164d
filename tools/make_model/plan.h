// Which tensors a generated model has, how each is filled, and the dimensions its header states.
#pragma once

#include <ggml.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "make_model/make_model.h"
#include "make_model/shape.h"
#include "make_model/vocab.h"

namespace hypura {

// How a tensor's values are made.
enum class Fill {
  kBlocks,  // quantised normal values
  kOutput,  // as kBlocks, but the rows of special tokens are damped so that they are hardly ever generated
  kNorm,    // F32, 1 with a little noise
  kNoise,   // F32, normal
  kRouter,  // F32, a row per expert with the popularity that the skew asks for
  kToken,   // F32, adds the first half of the input, times the deviation, and kStateShare of the second
};

struct TensorPlan {
  std::string name;
  ggml_type type = GGML_TYPE_F32;
  std::vector<int64_t> dims;  // fastest first, as ggml has them
  Fill fill = Fill::kBlocks;
  float deviation = 0.0F;
  float mean = 0.0F;        // kBlocks, kNoise: of the values; kRouter: of the input it will see, which carries the skew
  float share = 1.0F;       // kBlocks, kNoise: multiplies the values that the above gives; less in quiet layers
  int64_t layer = -1;       // -1: of none
  std::string copy_of;      // the tensor whose bytes it has; empty: bytes of its own
  uint64_t first_row = 0;   // number of the first row among all rows of the whole model
  uint64_t bytes() const;   // without padding
  uint64_t values() const;  // elements
  uint64_t rows() const { return values() / static_cast<uint64_t>(dims[0]); }
};

struct GeneratorPlan {
  ModelSpec spec;
  Choice choice;
  Shape shape;                      // of the whole model
  int64_t layers = 0;               // that are kept, those for MTP not counted
  std::vector<TensorPlan> tensors;  // that are kept, in file order
  std::vector<TensorPlan> whole;    // of every layer: decides the bytes, so that a kept tensor has those it has there
  uint64_t tensor_bytes() const;    // with padding to the alignment
  uint64_t parameters() const;
};

// Every tensor starts at a multiple of this; GGUF's default, as real files have it.
inline constexpr uint64_t kTensorAlignment = 32;

// The part of what a layer adds to the hidden state that a quiet one adds.
inline constexpr float kQuietShare = 0.1F;

// The part of the model's hidden state that MTP layers take besides the embedding: enough for drafts to depend on it.
inline constexpr float kStateShare = 0.2F;

// Layers without experts that come before those with them.
int64_t leading_dense_layers(const GeneratorPlan& plan);

// The name llama.cpp gives the architecture ("llama", "hy_v3", ...).
std::string_view gguf_arch(Arch arch);

// Decides everything that the spec leaves open. Fails with kUsage where the spec cannot be.
Result<GeneratorPlan> plan_model(const ModelSpec& spec, const Vocab& vocab);

}  // namespace hypura
