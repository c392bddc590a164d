// The smallest models of an architecture: the caller lists their keys and tensors, whose weights are all zero. For
// tests of what a header says, where what a model answers does not matter.
#pragma once

#include <gguf.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace hypura {

// Two layers, a vocabulary of all bytes and two words, a context of 512 tokens, and what is put in.
class ZeroModel {
 public:
  static constexpr int64_t kWords = 261;
  static constexpr int64_t kWidth = 64;  // of the models below

  explicit ZeroModel(std::string architecture) : architecture_(std::move(architecture)) {}

  // A number under a key of the architecture: "attention.head_count".
  ZeroModel& number(const std::string& key, uint32_t value);
  // `shape` as ggml has it: the row length first.
  ZeroModel& tensor(const std::string& name, std::vector<int64_t> shape);
  // The same in both layers: "blk.0.NAME" and "blk.1.NAME".
  ZeroModel& layer_tensor(const std::string& name, const std::vector<int64_t>& shape);

  // The whole file. `change` gets the header before its tensors are put in; those whose name `keeps` refuses are not.
  using Change = std::function<void(gguf_context*)>;
  using Keeps = std::function<bool(const std::string&)>;
  std::string bytes(const Change& change = {}, const Keeps& keeps = {}) const;

 private:
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
  };

  void set_keys(gguf_context* file) const;

  std::string architecture_;
  std::vector<std::pair<std::string, uint32_t>> numbers_;
  std::vector<Tensor> tensors_;
};

// Attention and a dense feed-forward part, as LLaMA has them; `architecture` is one whose tensors are those.
ZeroModel llama_like(const std::string& architecture);
// With four experts, two of which are used.
ZeroModel zero_moe();
// A recurrent state instead of attention.
ZeroModel zero_mamba();
// An encoder, for embeddings.
ZeroModel zero_encoder();
// T5: an encoder, and beside it a decoder if so wished.
ZeroModel zero_t5(bool decoder);

}  // namespace hypura
