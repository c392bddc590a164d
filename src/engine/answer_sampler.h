// Chooses the tokens of one answer: the samplers that were asked for, within a grammar when there is one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/sampler.h"
#include "hypura/engine.h"
#include "hypura/result.h"

namespace hypura {

// What an answer's text must be, in llama.cpp's grammar notation; without `rules` it is free.
struct Grammar {
  std::string rules;
  // Lazy: the text is free until one of these comes; the rules begin with it.
  bool lazy = false;
  std::vector<std::string> trigger_patterns;
  std::vector<int32_t> trigger_tokens;
  // What the prompt already holds of the text that the rules are for.
  std::vector<int32_t> begun;
  // While the model thinks, a lazy grammar does not apply. Empty when it does not think.
  std::vector<int32_t> thinking_start;
  std::vector<std::vector<int32_t>> thinking_ends;
};

// What a trigger's pattern repeats without a bound. llama.cpp then calls itself for each character of that.
enum class TriggerRepeats { kNothing, kBlanks, kAnything };
TriggerRepeats trigger_repeats(const std::vector<std::string>& patterns);

// Belongs to one thread at a time. The vocabulary must outlive it.
class AnswerSampler {
 public:
  // Fails with kUsage when llama.cpp does not accept the grammar.
  static Result<std::unique_ptr<AnswerSampler>> create(const SamplingOptions& options, const llama_vocab* vocab,
                                                       const Grammar& grammar);

  // Tells the samplers what came before.
  void accept_prompt(std::span<const int32_t> tokens);

  // The next token, from one row of logits; it counts as chosen. Fails with kInternal when the grammar allows none.
  Result<int32_t> sample(const float* logits);

 private:
  AnswerSampler(const SamplingOptions& options, const llama_vocab* vocab);

  Status set_grammar(const Grammar& grammar);
  bool grammar_applies() const;
  bool allowed(int32_t token) const;
  Result<int32_t> choose(const float* logits);
  void accept(int32_t token);
  void accept_by_grammar(int32_t token);
  size_t trigger_depth(int32_t token);

  const llama_vocab* vocab_;
  SamplerPtr chain_;
  SamplerPtr grammar_;   // null: free text
  SamplerPtr thinking_;  // follows whether the model thinks; null: nobody asks
  TriggerRepeats repeats_ = TriggerRepeats::kNothing;
  size_t text_bytes_ = 0;  // of the answer so far
  size_t blanks_ = 0;      // at its end
  size_t longest_blanks_ = 0;
};

}  // namespace hypura
