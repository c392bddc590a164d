#include "llama/llama_context.h"

#include <array>
#include <string_view>

#include "ggml-backend.h"
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

bool shares_cells(const llama_model& model) {
  std::array<char, 64> architecture{};
  llama_model_meta_val_str(&model, "general.architecture", architecture.data(), architecture.size());
  return can_cut(model) && std::string_view(architecture.data()) != "deepseek4";
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

ContextMemory context_memory(const llama_context& context, std::span<ggml_backend_device* const> devices) {
  ContextMemory memory;
  memory.devices.resize(devices.size());
  for (const auto& [type, sizes] : llama_get_memory_breakdown(&context)) {
    memory.kv += sizes.context;
    memory.compute += sizes.compute;
    for (size_t i = 0; i < devices.size(); ++i) {
      if (type == ggml_backend_dev_buffer_type(devices[i])) {
        memory.devices[i].kv += sizes.context;
        memory.devices[i].compute += sizes.compute;
        memory.device_kv += sizes.context;
        memory.device_compute += sizes.compute;
      }
    }
  }
  return memory;
}

uint64_t weight_memory(const llama_context& context, ggml_backend_buffer_type* type) {
  uint64_t bytes = 0;
  for (const auto& [its_type, sizes] : llama_get_memory_breakdown(&context)) {
    bytes += type == nullptr || its_type == type ? sizes.model : 0;
  }
  return bytes;
}

uint64_t weight_memory_on(const llama_context& context, ggml_backend_device& device) {
  return weight_memory(context, ggml_backend_dev_buffer_type(&device));
}

}  // namespace hypura
