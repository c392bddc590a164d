#include "llama/plain_llama.h"

#include <algorithm>

#include "backend/gpu/devices/gpu_list.h"
#include "ggml-backend.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_guard.h"
#include "llama/llama_runtime.h"
#include "llama/logits.h"
#include "llama/tokenizer/tokenizer.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Where llama.cpp's loader is to put what it would choose another place for.
class Split {
 public:
  Status choose(const PlainLlamaOptions& options) {
    for (uint32_t layer = 0; layer < options.cpu_expert_layers; ++layer) {  // the pattern of llama.cpp's --n-cpu-moe
      patterns_.push_back(fmt::format("blk\\.{}\\.ffn_(up|down|gate|gate_up)_(ch|)exps", layer));
    }
    for (const std::string& pattern : patterns_) {
      overrides_.push_back({pattern.c_str(), ggml_backend_cpu_buffer_type()});
    }
    overrides_.push_back({nullptr, nullptr});
    shares_.resize(std::max(llama_max_devices(), options.gpus.size()));
    for (size_t i = 0; i < options.gpus.size(); ++i) {
      devices_.push_back(gpu_by_name(options.gpus[i].name));
      shares_[i] = static_cast<float>(options.gpus[i].share);
      if (devices_.back() == nullptr) {
        return fail(ErrorCode::kUsage, "ggml has no device '{}'", options.gpus[i].name);
      }
    }
    devices_.push_back(nullptr);
    return {};
  }

  std::vector<ggml_backend_dev_t> devices() const { return {devices_.begin(), devices_.end() - 1}; }

  void apply(const PlainLlamaOptions& options, llama_model_params& params) {
    params.devices = devices_.data();  // none: the processor alone
    params.n_gpu_layers = options.gpus.empty() ? 0 : options.gpu_layers;
    params.tensor_split = options.gpus.size() > 1 ? shares_.data() : nullptr;
    params.tensor_buft_overrides = patterns_.empty() ? nullptr : overrides_.data();
  }

 private:
  std::vector<std::string> patterns_;
  std::vector<llama_model_tensor_buft_override> overrides_;
  std::vector<ggml_backend_dev_t> devices_;  // and nullptr
  std::vector<float> shares_;                // of each that llama.cpp may have
};

class PlainLlamaImpl final : public PlainLlama {
 public:
  // Without `allocate` it has sizes alone, and nothing can be evaluated.
  Status open(const PlainLlamaOptions& options, bool allocate) {
    llama_model_params model = llama_model_default_params();
    model.load_mode = allocate ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
    model.no_alloc = !allocate;
    model.lazy_mode = options.lazy_tables ? LLAMA_LAZY_MODE_ON : LLAMA_LAZY_MODE_AUTO;
    model.use_extra_bufts = options.repack;
    Split split;
    if (Status status = split.choose(options); !status) {
      return status;
    }
    split.apply(options, model);
    devices_ = split.devices();
    take_llama_error();
    model_.reset(llama_model_load_from_file(options.model.c_str(), model));
    if (model_ == nullptr) {
      return fail(ErrorCode::kBadModel, "{}: plain llama.cpp cannot load this model: {}", options.model.string(),
                  take_llama_error());
    }
    vocab_ = Vocabulary(*model_);
    llama_context_params context = llama_context_default_params();
    context.n_ctx = options.context;
    context.n_batch = std::max(context.n_batch, options.pass);
    context.n_ubatch = options.pass;
    context.n_outputs_max = 1;  // nobody reads more than the last token's logits
    context.n_threads = static_cast<int32_t>(options.threads);
    context.n_threads_batch = static_cast<int32_t>(options.threads);
    context_.reset(llama_init_from_model(model_.get(), context));
    if (context_ == nullptr) {
      return fail(ErrorCode::kBudget, "{}: plain llama.cpp could not make a context of {} tokens: {}",
                  options.model.string(), options.context, take_llama_error());
    }
    return {};
  }

  std::vector<uint64_t> device_bytes() const {
    const ContextMemory memory = context_memory(*context_, devices_);
    std::vector<uint64_t> bytes;
    for (size_t i = 0; i < devices_.size(); ++i) {
      bytes.push_back(weight_memory_on(*context_, *devices_[i]) + memory.devices[i].kv + memory.devices[i].compute);
    }
    return bytes;
  }

  std::vector<int32_t> tokenize(const std::string& text) const override {
    return tokenize_text(vocab_, text, true, false);
  }

  Result<int32_t> evaluate(std::vector<int32_t> tokens) override {
    const size_t most = llama_n_batch(context_.get());  // llama_decode takes no more at once
    for (size_t done = 0; done < tokens.size(); done += most) {
      const auto count = static_cast<int32_t>(std::min(most, tokens.size() - done));
      if (const int32_t code = llama_decode(context_.get(), llama_batch_get_one(tokens.data() + done, count));
          code != 0) {
        return fail(ErrorCode::kInternal, "plain llama.cpp failed to evaluate {} tokens (llama_decode gave {}): {}",
                    count, code, take_llama_error());
      }
    }
    const float* row = llama_get_logits_ith(context_.get(), -1);
    const std::span<const float> logits(row, row == nullptr ? 0 : static_cast<size_t>(vocab_.size()));
    if (Status status = check_logits(logits); !status) {
      return propagate(status.error());
    }
    return likeliest(logits);
  }

  void clear() override { llama_memory_clear(llama_get_memory(context_.get()), true); }

  bool ends_text(int32_t token) const override { return vocab_.ends_text(token); }

  uint32_t context_size() const override {
    return std::min(llama_n_ctx(context_.get()), static_cast<uint32_t>(llama_model_n_ctx_train(model_.get())));
  }

 private:
  std::vector<ggml_backend_dev_t> devices_;
  LlamaModelPtr model_;
  LlamaContextPtr context_;
  Vocabulary vocab_{nullptr};
};

Result<std::unique_ptr<PlainLlamaImpl>> open_plain(const PlainLlamaOptions& options, bool allocate) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  auto plain = std::make_unique<PlainLlamaImpl>();
  const Status opened =
      guarded(ErrorCode::kBadModel, options.model.string(), [&] { return plain->open(options, allocate); });
  if (!opened) {
    return propagate(opened.error());
  }
  return plain;
}

}  // namespace

Result<std::unique_ptr<PlainLlama>> PlainLlama::open(const PlainLlamaOptions& options) {
  auto plain = open_plain(options, true);
  return plain ? Result<std::unique_ptr<PlainLlama>>(std::move(*plain)) : propagate(plain.error());
}

Result<std::vector<uint64_t>> PlainLlama::device_bytes(const PlainLlamaOptions& options) {
  return open_plain(options, false).map([](const auto& plain) { return plain->device_bytes(); });
}

}  // namespace hypura
