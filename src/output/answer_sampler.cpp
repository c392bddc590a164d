#include "output/answer_sampler.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "llama/tokenizer/control_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

// All tokens, for the answer whose turn it is. The memory is kept for the next: as much as the vocabulary has.
std::span<Candidate> all_candidates(const float* logits, int32_t count) {
  thread_local std::vector<Candidate> candidates;
  candidates.resize(static_cast<size_t>(count));
  for (int32_t token = 0; token < count; ++token) {
    candidates[static_cast<size_t>(token)] = {token, logits[token], 0};
  }
  return candidates;
}

}  // namespace

AnswerSampler::AnswerSampler(const SamplingOptions& options, Vocabulary vocab)
    : vocab_(vocab), sampler_(options, vocab) {}

Result<std::unique_ptr<AnswerSampler>> AnswerSampler::create(const SamplingOptions& options, Vocabulary vocab,
                                                             const AnswerRules& rules) {
  std::unique_ptr<AnswerSampler> sampler(new AnswerSampler(options, vocab));
  if (!rules.free()) {
    auto held = HeldText::create(vocab, rules);
    if (!held) {
      return propagate(held.error());
    }
    sampler->held_ = std::move(*held);
  }
  return sampler;
}

void AnswerSampler::accept_prompt(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    sampler_.accept(token);
  }
}

Result<int32_t> AnswerSampler::sample(const float* logits) {
  try {  // perhaps exceptions of another C++ library, where llama.cpp was built with one
    return choose(logits);
  } catch (...) {
    return fail(ErrorCode::kInternal, "{}",
                held_ == nullptr ? "no token could be chosen" : "the answer left its grammar");
  }
}

Result<int32_t> AnswerSampler::choose(const float* logits) {
  std::optional<int32_t> choice = sampler_.choose(all_candidates(logits, vocab_.size()));
  if (held_ != nullptr && forced_.empty() && (!choice || !held_->allows(*choice))) {
    choice = choose_held(logits, choice);
  }
  if (!choice && forced_.empty()) {
    return fail(ErrorCode::kInternal, "no token can follow: the answer's grammar, or the model's output, allows none");
  }
  int32_t token = choice.value_or(0);
  if (!forced_.empty()) {
    token = forced_.front();
    forced_.pop_front();
  }
  sampler_.accept(token);
  if (held_ != nullptr) {
    held_->add(token);
  }
  return token;
}

// A token that may come instead of `unwanted`; none when there is none, or when tokens are forced instead.
std::optional<int32_t> AnswerSampler::choose_held(const float* logits, std::optional<int32_t> unwanted) {
  // A free text that may not end here, or not go on so: there are few such tokens, and each is found when it is wanted.
  constexpr int kMostUnwanted = 100;
  const int32_t count = vocab_.size();
  if (!held_->free()) {
    // Dear, since every token of the vocabulary is held against the rules: only when the free choice was not allowed.
    const std::span<Candidate> candidates = all_candidates(logits, count);
    held_->mask(candidates);
    return sampler_.choose(candidates);
  }
  std::vector<int32_t> banned;
  while (unwanted && banned.size() < kMostUnwanted) {
    if (const std::string_view end = held_->before_end(); !end.empty() && vocab_.ends_text(*unwanted)) {
      const std::vector<int32_t> tokens = tokenize_text(vocab_, end, false, true);
      forced_.assign(tokens.begin(), tokens.end());
      return std::nullopt;
    }
    banned.push_back(*unwanted);
    const std::span<Candidate> candidates = all_candidates(logits, count);
    for (const int32_t token : banned) {
      candidates[static_cast<size_t>(token)].logit = -INFINITY;
    }
    unwanted = sampler_.choose(candidates);
    if (unwanted && held_->allows(*unwanted)) {
      return unwanted;
    }
  }
  return std::nullopt;
}

}  // namespace hypura
