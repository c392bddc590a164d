#include "draft/model_drafter.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "llama/batch.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/logits.h"
#include "llama/open/make_llama.h"
#include "llama/open/mtp_layers.h"
#include "llama/open/trial_load.h"
#include "llama/tokenizer/common_beginning.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Vocabularies of one family are padded to different lengths.
constexpr int kMostPadding = 128;

class LlamaDrafter final : public ModelDrafter {
 public:
  LlamaDrafter(LlamaModelPtr model, LlamaContextPtr context, const DrafterParams& params)
      : model_(std::move(model)),
        context_(std::move(context)),
        device_(params.device),
        vocabulary_(*model_),
        held_(params.sequences),
        asked_(params.sequences),
        batch_(kDraftPassTokens) {}

  DraftBytes bytes() const override {
    if (device_ == nullptr) {
      const ContextMemory memory = context_memory(*context_);
      return {weight_bytes(*model_) + memory.kv + memory.compute, 0};
    }
    const ContextMemory memory = context_memory(*context_, {&device_, 1});
    const uint64_t weights = weight_memory_on(*context_, *device_);
    const uint64_t there = weights + memory.device_kv + memory.device_compute;
    return {weight_memory(*context_, nullptr) + memory.kv + memory.compute - there, there};
  }
  Vocabulary vocabulary() const override { return vocabulary_; }
  void set_threadpool(ggml_threadpool* pool) override { attach_threadpool(*context_, pool); }

  Result<std::vector<int32_t>> draft(uint32_t sequence, std::span<const int32_t> tokens, uint32_t most) override {
    std::vector<int32_t> drafted;
    asked_[sequence] = ++clock_;
    if (most == 0 || tokens.empty() || !make_room(sequence, tokens.size() + most)) {
      return drafted;
    }
    if (Status status = follow(sequence, tokens); !status) {
      return propagate(status.error());
    }
    for (;;) {
      const int32_t token = likeliest(logits_at(*context_, batch_.size() - 1));
      drafted.push_back(token);
      if (drafted.size() == most || vocabulary_.ends_text(token)) {
        return drafted;
      }
      if (Status status = evaluate(sequence, {&token, 1}); !status) {
        return propagate(status.error());
      }
    }
  }

 private:
  // Whether there are cells for so many tokens of a sequence. What others hold that were not asked about for longest is
  // forgotten for that, but not what answers hold that run now: two of them would push each other out at each pass.
  bool make_room(uint32_t sequence, size_t tokens) {
    size_t others = 0;
    for (uint32_t i = 0; i < held_.size(); ++i) {
      others += i == sequence ? 0 : held_[i].size();
    }
    while (others + tokens > cells(*context_)) {
      std::optional<uint32_t> oldest;
      for (uint32_t i = 0; i < held_.size(); ++i) {
        const bool runs = asked_[i] + 2 * held_.size() > clock_;
        const bool older = !held_[i].empty() && (!oldest || asked_[i] < asked_[*oldest]);
        oldest = i != sequence && !runs && older ? i : oldest;
      }
      if (!oldest) {
        return false;
      }
      others -= held_[*oldest].size();
      forget_tokens(*context_, *oldest, 0);
      held_[*oldest].clear();
    }
    return true;
  }

  // Makes the sequence hold `tokens`, the last of them evaluated last.
  Status follow(uint32_t sequence, std::span<const int32_t> tokens) {
    std::vector<int32_t>& held = held_[sequence];
    const size_t common = std::min<size_t>(common_beginning(held, tokens), tokens.size() - 1);
    if (common < held.size()) {
      forget_tokens(*context_, sequence, static_cast<uint32_t>(common));
      held.resize(common);
    }
    while (held.size() < tokens.size()) {
      const size_t count = std::min<size_t>(kDraftPassTokens, tokens.size() - held.size());
      if (Status status = evaluate(sequence, tokens.subspan(held.size(), count)); !status) {
        return status;
      }
    }
    return {};
  }

  Status evaluate(uint32_t sequence, std::span<const int32_t> tokens) {
    std::vector<int32_t>& held = held_[sequence];
    batch_.clear();
    for (size_t i = 0; i < tokens.size(); ++i) {
      batch_.add(tokens[i], static_cast<uint32_t>(held.size() + i), sequence, i + 1 == tokens.size());
    }
    if (const Status status = decode(*context_, batch_); !status) {
      return fail(ErrorCode::kInternal, "the draft model could not compute: {}", status.error().message);
    }
    held.insert(held.end(), tokens.begin(), tokens.end());
    return {};
  }

  LlamaModelPtr model_;
  LlamaContextPtr context_;
  ggml_backend_device* device_;
  Vocabulary vocabulary_;
  std::vector<std::vector<int32_t>> held_;  // by sequence: tokens whose keys and values are in the context
  std::vector<uint64_t> asked_;             // by sequence: when it was asked about last, by clock_
  uint64_t clock_ = 0;                      // counts drafts that were asked for
  Batch batch_;
};

}  // namespace

Result<std::unique_ptr<ModelDrafter>> open_model_drafter(const std::filesystem::path& file,
                                                         const DrafterParams& params) {
  // Read by our own reader first: it says what is wrong with a file, where llama.cpp would only fail.
  auto read = open_model(file);
  if (!read) {
    return propagate(read.error(), "the draft model");
  }
  if (Status status = try_model(used_part(*read, false)); !status) {
    return propagate(status.error(), "the draft model");
  }
  auto model = make_llama_model(*read, params.device);
  if (!model) {
    return propagate(model.error(), "the draft model");
  }
  if (has_encoder(**model) || !can_cut(**model)) {
    return fail(ErrorCode::kUsage, "{}: a draft model must be decoder-only, without recurrent state", file.string());
  }
  ContextParams its;
  its.cells = params.cells;
  its.sequences = params.sequences;
  its.pass = kDraftPassTokens;
  its.outputs = params.sequences;
  its.threads = params.threads;
  LlamaContextPtr made = make_llama_context(**model, its);
  if (made == nullptr) {
    return fail(ErrorCode::kBudget, "llama.cpp could not make a context of {} tokens for the draft model {}: {}",
                its.cells, file.string(), take_llama_error());
  }
  return std::make_unique<LlamaDrafter>(std::move(*model), std::move(made), params);
}

Status check_vocabularies(Vocabulary target, Vocabulary draft) {
  if (target.kind() != draft.kind() || std::abs(target.size() - draft.size()) > kMostPadding) {
    return fail(ErrorCode::kUsage,
                "the draft model has a different vocabulary ({} tokens, the model has {}): use one of the same family",
                draft.size(), target.size());
  }
  for (int32_t token = 0; token < std::min(target.size(), draft.size()); ++token) {
    const std::string_view text = target.spelling(token);
    if (text != draft.spelling(token)) {
      return fail(
          ErrorCode::kUsage,
          "the draft model has a different vocabulary: its token {} is '{}', the model's '{}'; use one of the same "
          "family",
          token, draft.spelling(token), text);
    }
  }
  return {};
}

}  // namespace hypura
