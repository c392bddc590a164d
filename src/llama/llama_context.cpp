#include "llama/llama_context.h"

#include "llama-ext.h"

namespace hypura {

void fill_batch(llama_batch& batch, std::span<const int32_t> tokens, size_t first, uint32_t sequence, bool all_logits) {
  batch.n_tokens = static_cast<int32_t>(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.token[i] = tokens[i];
    batch.pos[i] = static_cast<llama_pos>(first + i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = static_cast<llama_seq_id>(sequence);
    batch.logits[i] = static_cast<int8_t>(all_logits || i + 1 == tokens.size());
  }
}

ContextMemory context_memory(const llama_context& context) {
  ContextMemory memory;
  for (const auto& [type, sizes] : llama_get_memory_breakdown(&context)) {
    memory.kv += sizes.context;
    memory.compute += sizes.compute;
  }
  return memory;
}

uint64_t weight_memory(const llama_context& context, ggml_backend_buffer_type_t type) {
  uint64_t bytes = 0;
  for (const auto& [its_type, sizes] : llama_get_memory_breakdown(&context)) {
    bytes += type == nullptr || its_type == type ? sizes.model : 0;
  }
  return bytes;
}

}  // namespace hypura
