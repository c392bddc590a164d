// Makes llama.cpp's models and contexts, with nothing left to its defaults that matters here.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backend/loading/placed_weights.h"
#include "hypura/placement.h"
#include "hypura/result.h"
#include "llama/llama_context.h"
#include "llama/open/virtual_file.h"
#include "model/model.h"

struct ggml_backend_device;

namespace hypura {

// Tensors whose name matches the regular expression are put into a buffer of the type.
struct BufferOverride {
  const char* pattern = nullptr;
  ggml_backend_buffer_type* type = nullptr;
};

struct ModelParams {
  bool mtp = false;        // with its MTP layers
  bool repack = false;     // weights are laid out for ggml's fastest kernels
  bool host_only = false;  // on no device but the processor
  // On these; none: a GPU whose memory is the machine's.
  std::vector<ggml_backend_device*> devices = {};
  // By device, where there are several: so many layers that follow each other, of which the output is one, the last.
  std::vector<uint32_t> layers_of_devices = {};
  int32_t device_layers = -1;                 // on them the last so many, of which the output is one; -1: all
  bool allocate = true;                       // memory for weights
  std::vector<BufferOverride> buffers;        // the first that matches; llama.cpp's own choice where none does
  std::function<void(float share)> progress;  // with 0 when all buffers are allocated and none is written; may be none
  // Where no device but the processors has weights: gets those, which are then left to the caller to fill. May be null.
  PlacedWeights* placed = nullptr;
};

// The type of buffers that the processors' weights lie in by default.
ggml_backend_buffer_type* host_memory();

// Whether the device has memory of its own, and not the host's.
bool has_own_memory(ggml_backend_device& device);

// The model behind a virtual file. Fails with kBadModel: the file and llama.cpp's reason, with what else is known of
// it; with kBudget where there is no memory for the weights.
Result<LlamaModelPtr> make_llama_model(const Model& model, const VirtualFile& file, const ModelParams& params);

// The model as llama.cpp loads it from its own files, by direct reads: all of it on `device`, but the table of tokens;
// nullptr: in RAM, where a GPU whose memory that is computes it. Fails likewise.
Result<LlamaModelPtr> make_llama_model(const Model& model, ggml_backend_device* device = nullptr);

struct ContextParams {
  uint32_t cells = 0;  // tokens of all sequences together
  uint32_t sequences = 1;
  uint32_t pass = 0;     // tokens of one, at most; lowered to the cells
  uint32_t outputs = 0;  // tokens of a pass whose logits are wanted, at most; 0: all
  uint32_t threads = 1;
  KvType kv_type = KvType::kF16;
  bool mtp = false;  // the head of the model's MTP layers (llama/mtp_context.h)
};

// Null when llama.cpp cannot make it: take_llama_error says why. The model must outlive it.
LlamaContextPtr make_llama_context(llama_model& model, const ContextParams& params);

}  // namespace hypura
