// llama.cpp's models and contexts: who owns them, their batches, the memory that they take.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "llama.h"
#include "llama/tokenizer/tokenizer.h"

namespace hypura {

struct LlamaDeleter {
  void operator()(llama_model* model) const {
    forget_tokenizer(model);
    llama_model_free(model);
  }
  void operator()(llama_context* context) const { llama_free(context); }
};
using LlamaModelPtr = std::unique_ptr<llama_model, LlamaDeleter>;
using LlamaContextPtr = std::unique_ptr<llama_context, LlamaDeleter>;

// Whether the end of a sequence can be removed, and its beginning copied: not of a recurrent state.
inline bool can_cut(const llama_model& model) {
  return !llama_model_is_recurrent(&model) && !llama_model_is_hybrid(&model);
}

// Makes `batch`, which has room for them, the `tokens` of `sequence` from position `first` on; the logits of the last
// one are wanted, or all.
void fill_batch(llama_batch& batch, std::span<const int32_t> tokens, size_t first, uint32_t sequence, bool all_logits);

// Bytes that the context has allocated.
struct ContextMemory {
  uint64_t kv = 0;
  uint64_t compute = 0;  // output buffers included
};
ContextMemory context_memory(const llama_context& context);

// Bytes of the buffers of `type` that hold the weights of its model; of all buffers when that is nullptr.
uint64_t weight_memory(const llama_context& context, ggml_backend_buffer_type_t type);

}  // namespace hypura
