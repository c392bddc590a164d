#include "llama/open/make_llama.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "backend/gpu/devices/gpu_list.h"
#include "ggml-backend.h"
#include "gguf.h"
#include "llama.h"
#include "llama/llama_runtime.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

// "tokens 5 and 9 are both 'x'": the commonest fault of a vocabulary, which llama.cpp's assertion does not name.
std::string duplicate_tokens(const Model& model) {
  const gguf_context* metadata = model.metadata.get();
  const int64_t key = gguf_find_key(metadata, "tokenizer.ggml.tokens");
  if (key < 0 || gguf_get_kv_type(metadata, key) != GGUF_TYPE_ARRAY ||
      gguf_get_arr_type(metadata, key) != GGUF_TYPE_STRING) {
    return {};
  }
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < gguf_get_arr_n(metadata, key); ++i) {
    const std::string_view text = gguf_get_arr_str(metadata, key, i);
    if (const auto [it, is_new] = seen.emplace(text, i); !is_new && !text.empty()) {
      return fmt::format("tokens {} and {} of its vocabulary are both '{}'", it->second, i, printable(text));
    }
  }
  return {};
}

// Of a buffer for weights: llama.cpp's words, ggml's, and those of its backend for CUDA.
bool says_no_memory(const std::string& reason) {
  const auto says = [&](const char* words) { return reason.find(words) != std::string::npos; };
  return says("unable to allocate") || says("failed to allocate") || says("out of memory");
}

tl::unexpected<Error> load_failure(const Model& model) {
  std::string reason = take_llama_error();
  if (reason.find("token_to_id") != std::string::npos) {
    const std::string duplicates = duplicate_tokens(model);
    reason = duplicates.empty() ? reason : duplicates;
  }
  if (says_no_memory(reason)) {
    return fail(ErrorCode::kBudget, "{}: llama.cpp got no memory for its weights: {}",
                model.files.front().path.string(), reason);
  }
  return fail(ErrorCode::kBadModel, "{}: llama.cpp cannot load this model: {}", model.files.front().path.string(),
              reason);
}

Result<LlamaModelPtr> loaded(const Model& model, llama_model* made) {
  return made == nullptr ? load_failure(model) : Result<LlamaModelPtr>(LlamaModelPtr(made));
}

// For llama_model_params.devices: none named, and it would take every GPU that ggml has.
std::vector<ggml_backend_dev_t> chosen_devices(const ModelParams& params) {
  std::vector<ggml_backend_dev_t> devices = params.devices;
  if (devices.empty() && !params.host_only) {
    devices = gpus_on_host_memory();
  }
  devices.push_back(nullptr);
  return devices;
}

// For llama_model_params.tensor_split, of which llama.cpp reads as many as it allows devices. It divides the layers by
// shares: with whole numbers that add up to all, each device gets just so many.
std::vector<float> shares_of_devices(const ModelParams& params) {
  std::vector<float> shares(std::max(llama_max_devices(), params.layers_of_devices.size()));
  std::ranges::copy(params.layers_of_devices, shares.begin());
  return shares;
}

}  // namespace

ggml_backend_buffer_type* host_memory() {
  return ggml_backend_cpu_buffer_type();
}

bool has_own_memory(ggml_backend_device& device) {
  return !ggml_backend_buft_is_host(ggml_backend_dev_buffer_type(&device));
}

Result<LlamaModelPtr> make_llama_model(const Model& model, const VirtualFile& file, const ModelParams& params) {
  std::vector<llama_model_tensor_buft_override> buffers;
  for (const BufferOverride& it : params.buffers) {
    buffers.push_back({it.pattern, it.type});
  }
  buffers.push_back({nullptr, nullptr});
  std::vector<ggml_backend_dev_t> devices = chosen_devices(params);
  llama_model_params its = llama_model_default_params();
  its.devices = devices.data();
  its.n_gpu_layers = devices.front() == nullptr ? 0 : params.device_layers;
  const std::vector<float> shares = shares_of_devices(params);
  its.tensor_split = params.devices.size() > 1 ? shares.data() : nullptr;
  its.load_mode = LLAMA_LOAD_MODE_NONE;
  its.lazy_mode = LLAMA_LAZY_MODE_OFF;  // by itself it would map tables of more than 4 GiB, whatever their buffers
  its.no_alloc = !params.allocate;
  its.load_mtp = params.mtp;
  its.use_extra_bufts = params.repack;
  its.tensor_buft_overrides = params.buffers.empty() ? nullptr : buffers.data();
  its.progress_callback_user_data = const_cast<ModelParams*>(&params);
  its.progress_callback = [](float share, void* data) {
    const auto* wanted = static_cast<const ModelParams*>(data);
    if (wanted->progress) {
      wanted->progress(share);
    }
    return true;
  };
  take_llama_error();
  if (params.placed == nullptr || devices.front() != nullptr) {
    return loaded(model, llama_model_load_from_file_ptr(file.file(), its));
  }
  llama_model* made = nullptr;
  {
    const PlacedWeights::Watch watch(*params.placed);
    made = llama_model_load_from_file_ptr(file.file(), its);
  }
  if (made != nullptr) {
    params.placed->restore();
  }
  return loaded(model, made);
}

Result<LlamaModelPtr> make_llama_model(const Model& model, ggml_backend_device* device) {
  ModelParams chosen;
  if (device != nullptr) {
    chosen.devices = {device};
  }
  std::vector<ggml_backend_dev_t> devices = chosen_devices(chosen);
  llama_model_params params = llama_model_default_params();
  params.devices = devices.data();
  params.n_gpu_layers = devices.front() == nullptr ? 0 : -1;
  params.load_mode = LLAMA_LOAD_MODE_DIRECT_IO;
  take_llama_error();
  return loaded(model, llama_model_load_from_file(model.files.front().path.c_str(), params));
}

LlamaContextPtr make_llama_context(llama_model& model, const ContextParams& params) {
  llama_context_params its = llama_context_default_params();
  its.ctx_type = params.mtp ? LLAMA_CONTEXT_TYPE_MTP : LLAMA_CONTEXT_TYPE_DEFAULT;
  its.n_ctx = params.cells;
  its.n_seq_max = params.sequences;
  // One stream of cells: with one for each sequence llama.cpp splits a mixed batch, and reads the weights for
  // each.
  its.kv_unified = params.sequences > 1;
  its.n_batch = its.n_ubatch = params.pass;  // one pass over the weights for each llama_decode
  its.n_outputs_max = params.outputs;
  its.pooling_type = LLAMA_POOLING_TYPE_NONE;  // embeddings are asked for by token
  its.n_threads = its.n_threads_batch = static_cast<int32_t>(params.threads);
  // A quantised V cache needs flash attention; llama.cpp then takes it, where by default it decides itself.
  its.type_k = its.type_v = params.kv_type == KvType::kQ8_0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
  its.no_perf = true;
  take_llama_error();
  return LlamaContextPtr(llama_init_from_model(&model, its));
}

}  // namespace hypura
