// llama.cpp as it comes, weights mapped (mmap), on the processor or with layers on a GPU: what we are compared with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// One that computes. Layers are divided among several in proportion to their shares, by llama.cpp.
struct PlainGpu {
  std::string name;  // ggml's
  uint64_t share = 0;
};

struct PlainLlamaOptions {
  std::filesystem::path model;
  uint32_t context = 1024;  // tokens
  uint32_t threads = 1;
  // Let llama.cpp repack weights for speed. That copies them into memory that cannot be dropped, so it needs memory for
  // the whole model.
  bool repack = true;
  uint32_t pass = 512;              // most tokens computed at once: llama.cpp's --ubatch-size
  std::vector<PlainGpu> gpus = {};  // that compute; none: the processor alone
  int32_t gpu_layers = -1;  // there, the output counted as one, the last of the model first; -1: all (--n-gpu-layers)
  uint32_t cpu_expert_layers = 0;  // whose experts stay on the processor, from the first layer on (--n-cpu-moe)
  // Of tables (embeddings for every layer) only the rows that are used are read, through the mapping (--lazy-mode on);
  // else so are those of more than 4 GiB.
  bool lazy_tables = false;
};

// Belongs to one thread.
class PlainLlama {
 public:
  // Fails with kUsage when ggml has no such device, with kBadModel when llama.cpp cannot load the model, with kBudget
  // when it cannot make the context.
  static Result<std::unique_ptr<PlainLlama>> open(const PlainLlamaOptions& options);

  // What that would take of each GPU's memory: weights, keys and values, compute buffers, in bytes. llama.cpp lays them
  // out and allocates nothing. Fails likewise.
  static Result<std::vector<uint64_t>> device_bytes(const PlainLlamaOptions& options);

  virtual ~PlainLlama() = default;

  // Token ids of `text`, with BOS as the tokenizer's rule says; control tokens are not parsed.
  virtual std::vector<int32_t> tokenize(const std::string& text) const = 0;

  // Evaluates tokens after what the context holds and gives the likeliest next one. Fails with kInternal, saying what
  // llama.cpp said.
  virtual Result<int32_t> evaluate(std::vector<int32_t> tokens) = 0;

  // Empties the context.
  virtual void clear() = 0;

  // Whether the token ends a text.
  virtual bool ends_text(int32_t token) const = 0;

  // Tokens that fit the context; no more than the model was trained for.
  virtual uint32_t context_size() const = 0;
};

}  // namespace hypura
