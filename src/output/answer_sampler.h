// Chooses the tokens of one answer: the samplers that were asked for, within a grammar when there is one.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>

#include "hypura/engine.h"
#include "hypura/result.h"
#include "llama/sampler.h"
#include "output/answer_rules.h"
#include "output/held_text.h"

namespace hypura {

// Belongs to one thread at a time. The vocabulary must outlive it.
class AnswerSampler {
 public:
  // Fails with kUsage when the answer cannot be held to the rules.
  static Result<std::unique_ptr<AnswerSampler>> create(const SamplingOptions& options, Vocabulary vocab,
                                                       const AnswerRules& rules);

  // Tells the samplers what came before.
  void accept_prompt(std::span<const int32_t> tokens);

  // The next token, from one row of logits; it counts as chosen. Fails with kInternal when the rules allow none.
  Result<int32_t> sample(const float* logits);

 private:
  AnswerSampler(const SamplingOptions& options, Vocabulary vocab);

  Result<int32_t> choose(const float* logits);
  std::optional<int32_t> choose_held(const float* logits, std::optional<int32_t> unwanted);

  Vocabulary vocab_;
  Sampler sampler_;
  std::unique_ptr<HeldText> held_;  // null: free text
  std::deque<int32_t> forced_;      // to come next, whatever the model wants
};

}  // namespace hypura
