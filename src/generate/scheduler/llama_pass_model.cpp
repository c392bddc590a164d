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
      batch_(engine.ubatch()) {}

Status LlamaPassModel::pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) {
  batch_.clear();
  for (const PassToken& it : tokens) {
    batch_.add(it.token, it.position, it.sequence, it.output);
  }
  return engine_.pass(batch_, prompt_tokens);
}

const float* LlamaPassModel::logits(size_t index) {
  return logits_at(context_, index).data();
}

Status LlamaPassModel::check(size_t index) {
  if (Status status = check_logits(logits_at(context_, index)); !status) {
    return propagate(status.error(), engine_.model_name());
  }
  return {};
}

Status LlamaPassModel::embed(std::span<const PassToken> tokens, std::vector<float>& sum) {
  give_embeddings(context_, true);
  std::vector<PassToken> all(tokens.begin(), tokens.end());
  for (PassToken& token : all) {
    token.output = true;
  }
  Status status = pass(all, static_cast<uint32_t>(all.size()));
  sum.resize(embedding_width(engine_.llama()));
  for (size_t i = 0; status && i < all.size(); ++i) {
    const float* row = embedding_at(context_, i);
    if (row == nullptr) {
      status = fail(ErrorCode::kInternal, "llama.cpp returned no embedding");
      break;
    }
    std::transform(sum.begin(), sum.end(), row, sum.begin(), std::plus<>());
  }
  give_embeddings(context_, false);
  return status;
}

}  // namespace hypura
