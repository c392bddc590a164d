#include "generate/scheduler/llama_pass_model.h"

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

LlamaPassModel::LlamaPassModel(EngineImpl& engine, uint32_t sequences)
    : engine_(engine),
      context_(engine.context()),
      limits_(limits_of(engine, engine.weights() != nullptr)),
      embed_limit_(std::min(engine.ubatch(), std::max(engine.outputs(), sequences))),
      batch_(llama_batch_init(static_cast<int32_t>(engine.ubatch()), 0, 1)) {}

LlamaPassModel::~LlamaPassModel() {
  llama_batch_free(batch_);
}

Status LlamaPassModel::pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) {
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

const float* LlamaPassModel::logits(size_t index) {
  return llama_get_logits_ith(context_, static_cast<int32_t>(index));
}

Status LlamaPassModel::check(size_t index) {
  const float* row = logits(index);
  const auto width = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(engine_.llama())));
  if (Status status = check_logits({row, row == nullptr ? 0 : width}); !status) {
    return propagate(status.error(), engine_.model_name());
  }
  return {};
}

Status LlamaPassModel::embed(std::span<const PassToken> tokens, std::vector<float>& sum) {
  llama_set_embeddings(context_, true);
  std::vector<PassToken> all(tokens.begin(), tokens.end());
  for (PassToken& token : all) {
    token.output = true;
  }
  Status status = pass(all, static_cast<uint32_t>(all.size()));
  sum.resize(static_cast<size_t>(llama_model_n_embd_out(engine_.llama())));
  for (size_t i = 0; status && i < all.size(); ++i) {
    const float* row = llama_get_embeddings_ith(context_, static_cast<int32_t>(i));
    if (row == nullptr) {
      status = fail(ErrorCode::kInternal, "llama.cpp returned no embedding");
      break;
    }
    std::transform(sum.begin(), sum.end(), row, sum.begin(), std::plus<>());
  }
  llama_set_embeddings(context_, false);
  return status;
}

}  // namespace hypura
