#include "draft/model_drafter.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/open/mtp_layers.h"
#include "llama/open/trial_load.h"
#include "llama/tokenizer/common_beginning.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr uint32_t kUbatch = 256;
// Vocabularies of one family are padded to different lengths.
constexpr int kMostPadding = 128;

class LlamaDrafter final : public ModelDrafter {
 public:
  LlamaDrafter(LlamaModelPtr model, LlamaContextPtr context, uint32_t sequences)
      : model_(std::move(model)),
        context_(std::move(context)),
        memory_(llama_get_memory(context_.get())),
        width_(static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())))),
        held_(sequences),
        batch_(llama_batch_init(static_cast<int32_t>(kUbatch), 0, 1)) {}

  ~LlamaDrafter() override { llama_batch_free(batch_); }
  LlamaDrafter(const LlamaDrafter&) = delete;
  LlamaDrafter& operator=(const LlamaDrafter&) = delete;

  uint64_t bytes() const override {
    const ContextMemory memory = context_memory(*context_);
    return llama_model_size(model_.get()) + memory.kv + memory.compute;
  }
  const llama_model* model() const override { return model_.get(); }
  void set_threadpool(ggml_threadpool* pool) override { llama_attach_threadpool(context_.get(), pool, pool); }

  Result<std::vector<int32_t>> draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) override {
    std::vector<int32_t> drafted;
    most = std::min<uint32_t>(most, capacity(tokens.size()));
    if (most == 0 || tokens.empty()) {
      return drafted;
    }
    if (Status status = follow(sequence, tokens); !status) {
      return propagate(status.error());
    }
    for (;;) {
      const std::span<const float> logits(llama_get_logits_ith(context_.get(), -1), width_);
      const auto token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      drafted.push_back(token);
      if (drafted.size() == most || llama_vocab_is_eog(llama_model_get_vocab(model_.get()), token)) {
        return drafted;
      }
      if (Status status = evaluate(sequence, {&token, 1}); !status) {
        return propagate(status.error());
      }
    }
  }

 private:
  uint32_t capacity(size_t tokens) const {
    const size_t context = llama_n_ctx(context_.get()) / held_.size();
    return tokens < context ? static_cast<uint32_t>(context - tokens) : 0;
  }

  // Makes the sequence hold `tokens`, the last of them evaluated last.
  Status follow(uint32_t sequence, std::span<const int32_t> tokens) {
    std::vector<int32_t>& held = held_[sequence];
    const size_t common = std::min<size_t>(common_beginning(held, tokens), tokens.size() - 1);
    if (common < held.size()) {
      llama_memory_seq_rm(memory_, static_cast<llama_seq_id>(sequence), static_cast<llama_pos>(common), -1);
      held.resize(common);
    }
    while (held.size() < tokens.size()) {
      const size_t count = std::min<size_t>(kUbatch, tokens.size() - held.size());
      if (Status status = evaluate(sequence, tokens.subspan(held.size(), count)); !status) {
        return status;
      }
    }
    return {};
  }

  Status evaluate(uint32_t sequence, std::span<const int32_t> tokens) {
    std::vector<int32_t>& held = held_[sequence];
    fill_batch(batch_, tokens, held.size(), sequence, false);
    if (llama_decode(context_.get(), batch_) != 0) {
      return fail(ErrorCode::kInternal, "the draft model could not compute: {}", take_llama_error());
    }
    held.insert(held.end(), tokens.begin(), tokens.end());
    return {};
  }

  LlamaModelPtr model_;
  LlamaContextPtr context_;
  llama_memory_t memory_;
  size_t width_;
  std::vector<std::vector<int32_t>> held_;  // by sequence: tokens whose keys and values are in the context
  llama_batch batch_;
};

}  // namespace

Result<std::unique_ptr<ModelDrafter>> open_model_drafter(const std::filesystem::path& file, uint32_t context,
                                                         uint32_t sequences, uint32_t threads) {
  // Read by our own reader first: it says what is wrong with a file, where llama.cpp would only fail.
  auto read = open_model(file);
  if (!read) {
    return propagate(read.error(), "the draft model");
  }
  if (Status status = try_model(used_part(*read, false)); !status) {
    return propagate(status.error(), "the draft model");
  }
  llama_model_params model_params = llama_model_default_params();
  model_params.load_mode = LLAMA_LOAD_MODE_DIRECT_IO;
  take_llama_error();
  LlamaModelPtr model(llama_model_load_from_file(read->files.front().path.c_str(), model_params));
  if (model == nullptr) {
    return propagate(load_failure(*read).value(), "the draft model");
  }
  if (llama_model_has_encoder(model.get()) || !can_cut(*model)) {
    return fail(ErrorCode::kUsage, "{}: a draft model must be decoder-only, without recurrent state", file.string());
  }
  llama_context_params params = llama_context_default_params();
  params.n_ctx = context * sequences;
  params.n_seq_max = sequences;
  params.kv_unified = sequences > 1;
  params.n_batch = params.n_ubatch = kUbatch;
  params.n_outputs_max = sequences;
  params.n_threads = params.n_threads_batch = static_cast<int32_t>(threads);
  params.no_perf = true;
  LlamaContextPtr made(llama_init_from_model(model.get(), params));
  if (made == nullptr) {
    return fail(ErrorCode::kBudget, "llama.cpp could not make a context of {} tokens for the draft model {}: {}",
                params.n_ctx, file.string(), take_llama_error());
  }
  return std::make_unique<LlamaDrafter>(std::move(model), std::move(made), sequences);
}

Status check_vocabularies(const llama_model& target, const llama_model& draft) {
  const llama_vocab* ours = llama_model_get_vocab(&target);
  const llama_vocab* its = llama_model_get_vocab(&draft);
  const int count = llama_vocab_n_tokens(ours);
  const int its_count = llama_vocab_n_tokens(its);
  if (llama_vocab_type(ours) != llama_vocab_type(its) || std::abs(count - its_count) > kMostPadding) {
    return fail(ErrorCode::kUsage,
                "the draft model has a different vocabulary ({} tokens, the model has {}): use one of the same family",
                its_count, count);
  }
  for (int token = 0; token < std::min(count, its_count); ++token) {
    const std::string_view text = llama_vocab_get_text(ours, token);
    if (text != llama_vocab_get_text(its, token)) {
      return fail(
          ErrorCode::kUsage,
          "the draft model has a different vocabulary: its token {} is '{}', the model's '{}'; use one of the same "
          "family",
          token, llama_vocab_get_text(its, token), text);
    }
  }
  return {};
}

}  // namespace hypura
