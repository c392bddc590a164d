#include "llama/llama_context.h"

#include <algorithm>

#include "llama-ext.h"
#include "llama/tokenizer/tokenizer.h"

namespace hypura {

void LlamaDeleter::operator()(llama_model* model) const {
  forget_tokenizer(*model);
  llama_model_free(model);
}

void LlamaDeleter::operator()(llama_context* context) const {
  llama_free(context);
}

bool can_cut(const llama_model& model) {
  return !llama_model_is_recurrent(&model) && !llama_model_is_hybrid(&model);
}

bool has_encoder(const llama_model& model) {
  return llama_model_has_encoder(&model);
}

size_t embedding_width(const llama_model& model) {
  return static_cast<size_t>(llama_model_n_embd_out(&model));
}

uint64_t weight_bytes(const llama_model& model) {
  return llama_model_size(&model);
}

const char* chat_template(const llama_model& model, bool tools) {
  const char* text = llama_model_chat_template(&model, tools ? "tool_use" : nullptr);
  return text == nullptr ? "" : text;
}

uint32_t most_sequences() {
  return static_cast<uint32_t>(llama_max_parallel_sequences());
}

uint32_t cells(const llama_context& context) {
  return llama_n_ctx(&context);
}

uint32_t pass_tokens(const llama_context& context) {
  return llama_n_batch(&context);
}

void attach_threadpool(llama_context& context, ggml_threadpool* pool) {
  llama_attach_threadpool(&context, pool, pool);
}

void forget_tokens(llama_context& context, uint32_t sequence, uint32_t position) {
  llama_memory_seq_rm(llama_get_memory(&context), static_cast<llama_seq_id>(sequence), static_cast<llama_pos>(position),
                      -1);
}

void copy_beginning(llama_context& context, uint32_t from, uint32_t to, uint32_t count) {
  llama_memory_seq_cp(llama_get_memory(&context), static_cast<llama_seq_id>(from), static_cast<llama_seq_id>(to), 0,
                      static_cast<llama_pos>(count));
}

ContextMemory context_memory(const llama_context& context, const ggml_backend_buffer_type* device) {
  ContextMemory memory;
  for (const auto& [type, sizes] : llama_get_memory_breakdown(&context)) {
    const bool in_ram = device == nullptr || type != device;
    memory.kv += in_ram ? sizes.context : 0;
    memory.compute += in_ram ? sizes.compute : 0;
  }
  return memory;
}

uint64_t weight_memory(const llama_context& context, std::initializer_list<const ggml_backend_buffer_type*> left_out) {
  uint64_t bytes = 0;
  for (const auto& [type, sizes] : llama_get_memory_breakdown(&context)) {
    bytes += std::ranges::find(left_out, type) == left_out.end() ? sizes.model : 0;
  }
  return bytes;
}

}  // namespace hypura
