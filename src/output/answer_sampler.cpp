#include "output/answer_sampler.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "llama/tokenizer/control_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

// The candidates of the answer whose turn it is: as many as the vocabulary has, so that they are kept for the next.
std::vector<llama_token_data>& candidates() {
  thread_local std::vector<llama_token_data> data;
  return data;
}

llama_token_data_array all_candidates(const float* logits, int32_t count) {
  std::vector<llama_token_data>& data = candidates();
  data.resize(static_cast<size_t>(count));
  for (int32_t id = 0; id < count; ++id) {
    data[static_cast<size_t>(id)] = {id, logits[id], 0};
  }
  return {data.data(), data.size(), -1, false};
}

// What the chain selects; nullptr when no candidate is possible, which the samplers do not expect.
const llama_token_data* select(llama_sampler* chain, llama_token_data_array& array) {
  const auto possible = [](const llama_token_data& it) { return it.logit > -INFINITY; };
  if (std::none_of(array.data, array.data + array.size, possible)) {
    return nullptr;
  }
  llama_sampler_apply(chain, &array);
  const bool any = array.selected >= 0 && static_cast<size_t>(array.selected) < array.size;
  return any && possible(array.data[array.selected]) ? &array.data[array.selected] : nullptr;
}

}  // namespace

AnswerSampler::AnswerSampler(const SamplingOptions& options, const llama_vocab* vocab)
    : vocab_(vocab), chain_(make_sampler(options, vocab)) {}

Result<std::unique_ptr<AnswerSampler>> AnswerSampler::create(const SamplingOptions& options, const llama_vocab* vocab,
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
    llama_sampler_accept(chain_.get(), token);
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
  llama_token_data_array array = all_candidates(logits, llama_vocab_n_tokens(vocab_));
  const llama_token_data* choice = select(chain_.get(), array);
  if (held_ != nullptr && forced_.empty() && (choice == nullptr || !held_->allows(choice->id))) {
    choice = choose_held(logits, choice);
  }
  if (choice == nullptr && forced_.empty()) {
    return fail(ErrorCode::kInternal, "no token can follow: the answer's grammar, or the model's output, allows none");
  }
  int32_t token = choice == nullptr ? 0 : choice->id;
  if (!forced_.empty()) {
    token = forced_.front();
    forced_.pop_front();
  }
  llama_sampler_accept(chain_.get(), token);
  if (held_ != nullptr) {
    held_->add(token);
  }
  return token;
}

// A token that may come instead of `unwanted`; nullptr when there is none, or when tokens are forced instead.
const llama_token_data* AnswerSampler::choose_held(const float* logits, const llama_token_data* unwanted) {
  // A free text that may not end here, or not go on so: there are few such tokens, and each is found when it is wanted.
  constexpr int kMostUnwanted = 100;
  const int32_t count = llama_vocab_n_tokens(vocab_);
  if (!held_->free()) {
    // Dear, since every token of the vocabulary is held against the rules: only when the free choice was not allowed.
    llama_token_data_array array = all_candidates(logits, count);
    held_->mask(array);
    return select(chain_.get(), array);
  }
  std::vector<int32_t> banned;
  while (unwanted != nullptr && banned.size() < kMostUnwanted) {
    if (const std::string_view end = held_->before_end(); !end.empty() && llama_vocab_is_eog(vocab_, unwanted->id)) {
      const std::vector<int32_t> tokens = tokenize_text(vocab_, end, false, true);
      forced_.assign(tokens.begin(), tokens.end());
      return nullptr;
    }
    banned.push_back(unwanted->id);
    llama_token_data_array array = all_candidates(logits, count);
    for (const int32_t token : banned) {
      array.data[token].logit = -INFINITY;
    }
    unwanted = select(chain_.get(), array);
    if (unwanted != nullptr && held_->allows(unwanted->id)) {
      return unwanted;
    }
  }
  return nullptr;
}

}  // namespace hypura
