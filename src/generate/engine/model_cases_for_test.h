// For tests of exactness: the models that they try.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "hypura/engine.h"
#include "make_model/make_model.h"

namespace hypura {

struct ModelCase {
  std::string name;
  std::string real;  // a file under models/, or empty:
  ModelSpec spec;    // what to generate
};

inline void PrintTo(const ModelCase& it, std::ostream* out) {
  *out << it.name;
}

inline ModelSpec small_spec(const std::string& arch, const std::string& type, const std::string& down_type = {},
                            int64_t split = 1) {
  ModelSpec spec;
  spec.arch = arch;
  spec.type = type;
  spec.down_type = down_type;
  spec.split = split;
  spec.skew = arch == "dense" ? 0 : 0.7;
  spec.experts = down_type.empty() ? 0 : 16;  // K-quants need rows of 256: fewer experts keep the file small
  spec.layers = 4;                            // two of each of the two kinds that gpt-oss has
  return spec;
}

// Of a dense model that devices share: wide enough that weights count for more than buffers.
inline ModelSpec divided_spec() {
  ModelSpec spec = small_spec("dense", "Q4_0");
  spec.layers = 8;
  spec.embedding = 512;
  spec.ff = 2048;
  return spec;
}

// One of each kind with experts.
inline std::vector<ModelCase> expert_models() {
  return {{"stories_moe", "hypura-stories-moe.gguf", {}},
          {"mixtral", "", small_spec("mixtral", "Q8_0")},
          {"qwen3moe", "", small_spec("qwen3moe", "Q4_0")},
          {"qwen3moe_mixed", "", small_spec("qwen3moe", "Q4_K", "Q6_K")},
          {"qwen3moe_split", "", small_spec("qwen3moe", "Q4_0", "", 4)},
          {"qwen2moe", "", small_spec("qwen2moe", "Q8_0")},
          {"gpt_oss", "", small_spec("gpt-oss", "Q8_0")},
          {"fused", "", small_spec("fused", "Q4_0")}};
}

// The model's file, made in `folder` where it is none of the project's; empty, with a failure, when it cannot be.
inline std::filesystem::path model_file(const ModelCase& it, const std::filesystem::path& folder) {
  if (!it.real.empty()) {
    return std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / it.real;
  }
  ModelSpec spec = it.spec;
  spec.output = folder / "model.gguf";
  const auto made = make_model(spec);
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : std::filesystem::path();
}

// For a small model on a GPU: one thread, passes of so many tokens, nothing remembered of earlier runs.
inline EngineOptions gpu_options(const std::filesystem::path& model, const std::string& gpu, uint64_t memory,
                                 std::optional<uint64_t> vram, uint32_t context, uint32_t pass) {
  EngineOptions options;
  options.model = model;
  options.gpu = gpu;
  options.vram = vram;
  options.memory = memory;
  options.context = context;
  options.ubatch = options.outputs = pass;
  options.threads = 1;
  options.run_history = false;
  return options;
}

}  // namespace hypura
