// llama.cpp's models and contexts: who owns them, what they are, and what they hold. What is behind the pointers only
// this room knows; they are made in llama/open/make_llama.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct ggml_backend_buffer_type;
struct ggml_backend_device;
struct ggml_threadpool;
struct llama_context;
struct llama_model;

namespace hypura {

struct LlamaDeleter {
  void operator()(llama_model* model) const;
  void operator()(llama_context* context) const;
};
using LlamaModelPtr = std::unique_ptr<llama_model, LlamaDeleter>;
using LlamaContextPtr = std::unique_ptr<llama_context, LlamaDeleter>;

// Whether the end of a sequence can be removed, and its beginning copied: not of a recurrent state.
bool can_cut(const llama_model& model);
// Whether its sequences take cells of one stream, so that more of them cost no memory. Not where each has a state, nor
// of DeepSeek V4, whose memory (llama-kv-cache-dsv4.h) has a stream for each sequence, as long as all cells together.
bool shares_cells(const llama_model& model);
bool has_encoder(const llama_model& model);

// Numbers of a token's embedding.
size_t embedding_width(const llama_model& model);

// Bytes of its weights.
uint64_t weight_bytes(const llama_model& model);

// The chat template in its file, for tools when `tools`; empty when it has none.
const char* chat_template(const llama_model& model, bool tools);

// Sequences that a context can hold at most.
uint32_t most_sequences();

// Tokens that the context holds of all sequences together, and that one pass takes.
uint32_t cells(const llama_context& context);
uint32_t pass_tokens(const llama_context& context);

// Computes with these threads, its own again when that is nullptr. The pool must outlive the context.
void attach_threadpool(llama_context& context, ggml_threadpool* pool);

// Forgets a sequence's tokens from a position on. For a context that can_cut.
void forget_tokens(llama_context& context, uint32_t sequence, uint32_t position);

// An empty sequence takes over the first `count` tokens of another.
void copy_beginning(llama_context& context, uint32_t from, uint32_t to, uint32_t count);

// Bytes that the context has allocated, in the memory of one device
struct DeviceContextMemory {
  uint64_t kv = 0;
  uint64_t compute = 0;
};
// and everywhere.
struct ContextMemory {
  uint64_t kv = 0;
  uint64_t compute = 0;    // output buffers included
  uint64_t device_kv = 0;  // of these, in the devices' memory
  uint64_t device_compute = 0;
  std::vector<DeviceContextMemory> devices = {};  // the same of each
};
// `devices`: those that its model is computed on; none: all is RAM.
ContextMemory context_memory(const llama_context& context, std::span<ggml_backend_device* const> devices = {});

// Bytes of the buffers of `type` that hold the weights of its model; of all buffers when that is nullptr.
uint64_t weight_memory(const llama_context& context, ggml_backend_buffer_type* type);
// The same of the buffers in that device's memory.
uint64_t weight_memory_on(const llama_context& context, ggml_backend_device& device);

}  // namespace hypura
