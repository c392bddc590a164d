#include "generate/batcher_llama.h"

#include <algorithm>
#include <functional>

#include "llama/logits.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Where weights are resident a pass takes as long as it has tokens: a prompt is then evaluated in small parts, so that
// answers need not wait for it. Larger parts would not make the prompt faster: at this size a matrix product already
// runs at the processor's speed. Where weights are streamed a pass with a prompt reads nearly all of them whatever its
// size, so the fewer such passes the better for everybody.
constexpr uint32_t kPromptTokensBesideAnswers = 64;

PassLimits limits_of(const EngineImpl& engine, bool streams) {
  return {engine.ubatch(), streams ? engine.ubatch() : std::min(engine.ubatch(), kPromptTokensBesideAnswers),
          engine.outputs()};
}

}  // namespace

LlamaBatchModel::LlamaBatchModel(EngineImpl& engine, uint32_t sequences)
    : engine_(engine),
      context_(engine.context()),
      memory_(llama_get_memory(context_)),
      sequences_(sequences),
      limits_(limits_of(engine, engine.weights() != nullptr)),
      can_cut_(hypura::can_cut(*engine.llama())),
      embed_limit_(std::min(engine.ubatch(), std::max(engine.outputs(), sequences))),
      batch_(llama_batch_init(static_cast<int32_t>(engine.ubatch()), 0, 1)) {
  note_live();
}

LlamaBatchModel::~LlamaBatchModel() {
  for (uint32_t sequence = 0; sequence < sequences_; ++sequence) {
    cut(sequence, 0);
  }
  llama_batch_free(batch_);
}

Status LlamaBatchModel::run(std::span<const PassToken> tokens, uint32_t prompt_tokens) {
  batch_.n_tokens = static_cast<int32_t>(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch_.token[i] = tokens[i].token;
    batch_.pos[i] = static_cast<llama_pos>(tokens[i].position);
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = static_cast<llama_seq_id>(tokens[i].sequence);
    batch_.logits[i] = static_cast<int8_t>(tokens[i].output);
  }
  return engine_.pass(batch_, prompt_tokens);
}

Status LlamaBatchModel::walk(std::span<const PassToken> tokens, uint32_t prompt_tokens) {
  Status status = run(tokens, prompt_tokens);
  walked_ = true;
  const auto now = std::chrono::steady_clock::now();
  const bool wanted = now.time_since_epoch().count() < live_until_.load();
  if (now - noted_ >= (wanted ? kLiveInterval : kIdleInterval)) {
    note_live();
  }
  return status;
}

void LlamaBatchModel::pause() {
  if (walked_) {
    note_live();
  }
}

const float* LlamaBatchModel::logits(size_t index) {
  return llama_get_logits_ith(context_, static_cast<int32_t>(index));
}

Status LlamaBatchModel::check(size_t index) {
  const float* row = logits(index);
  const auto width = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(engine_.llama())));
  return check_logits({row, row == nullptr ? 0 : width});
}

// Whether the first `count` tokens of a sequence are all there, as far as the next token looks back. Layers that attend
// to a window may have let go of what is before it.
bool LlamaBatchModel::holds(uint32_t sequence, uint32_t count) const {
  const auto window = static_cast<uint32_t>(std::max(llama_model_n_swa(engine_.llama()), 0));
  const llama_pos needed = window > 0 && count > window ? static_cast<llama_pos>(count - window) : 0;
  const auto id = static_cast<llama_seq_id>(sequence);
  const llama_pos first = llama_memory_seq_pos_min(memory_, id);
  return first >= 0 && first <= needed && llama_memory_seq_pos_max(memory_, id) + 1 == static_cast<llama_pos>(count);
}

uint32_t LlamaBatchModel::cut(uint32_t sequence, uint32_t count) {
  const auto id = static_cast<llama_seq_id>(sequence);
  if (count > 0 && llama_memory_seq_rm(memory_, id, static_cast<llama_pos>(count), -1) && holds(sequence, count)) {
    return count;
  }
  llama_memory_seq_rm(memory_, id, -1, -1);  // never fails for a whole sequence
  return 0;
}

uint32_t LlamaBatchModel::copy(uint32_t from, uint32_t to, uint32_t count) {
  if (!can_cut_ || count == 0) {
    return 0;
  }
  llama_memory_seq_cp(memory_, static_cast<llama_seq_id>(from), static_cast<llama_seq_id>(to), 0,
                      static_cast<llama_pos>(count));
  if (!holds(to, count)) {
    return cut(to, 0);
  }
  if (MtpHead* mtp = engine_.mtp(); mtp != nullptr) {
    mtp->copy(from, to, count);
  }
  return count;
}

Status LlamaBatchModel::embed(std::span<const PassToken> tokens, std::vector<float>& sum) {
  llama_set_embeddings(context_, true);
  std::vector<PassToken> all(tokens.begin(), tokens.end());
  for (PassToken& token : all) {
    token.output = true;
  }
  Status status = run(all, static_cast<uint32_t>(all.size()));
  sum.resize(static_cast<size_t>(llama_model_n_embd_out(engine_.llama())));
  for (size_t i = 0; status && i < all.size(); ++i) {
    const float* row = llama_get_embeddings_ith(context_, static_cast<int32_t>(i));
    if (row == nullptr) {
      status = fail(ErrorCode::kInternal, "llama.cpp gave no embedding");
      break;
    }
    std::transform(sum.begin(), sum.end(), row, sum.begin(), std::plus<>());
  }
  llama_set_embeddings(context_, false);
  return status;
}

void LlamaBatchModel::note_live() {
  noted_ = std::chrono::steady_clock::now();
  walked_ = false;
  std::vector<LiveLayer> layers(static_cast<size_t>(engine_.model().layers));
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i].layer = static_cast<int32_t>(i);
  }
  if (engine_.weights() != nullptr) {
    for (ExpertsOfLayer& experts : engine_.weights()->experts(kLiveTokens)) {
      if (experts.layer >= 0 && static_cast<size_t>(experts.layer) < layers.size()) {
        LiveLayer& layer = layers[static_cast<size_t>(experts.layer)];
        for (const bool resident : experts.resident) {
          layer.resident += resident ? '1' : '0';
        }
        layer.used = std::move(experts.used);
      }
    }
  } else {  // nobody sees which are used, but all are there
    for (const TensorInfo& tensor : engine_.model().tensors) {
      if (tensor.experts() > 0 && tensor.layer >= 0 && static_cast<size_t>(tensor.layer) < layers.size()) {
        layers[static_cast<size_t>(tensor.layer)].resident.assign(static_cast<size_t>(tensor.experts()), '1');
      }
    }
  }
  const std::lock_guard lock(live_mutex_);
  live_ = std::move(layers);
}

std::vector<LiveLayer> LlamaBatchModel::live() const {
  live_until_.store((std::chrono::steady_clock::now() + kLiveWanted).time_since_epoch().count());
  const std::lock_guard lock(live_mutex_);
  return live_;
}

}  // namespace hypura
