#include "engine/answer_sampler.h"

#include <algorithm>
#include <cctype>
#include <climits>
#include <cmath>
#include <stdexcept>

#include "engine/control_text.h"
#include "engine/deep_stack.h"
#include "reasoning-budget.h"

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

SamplerPtr make_grammar(const llama_vocab* vocab, const Grammar& grammar) {
  if (!grammar.lazy) {
    return SamplerPtr(llama_sampler_init_grammar(vocab, grammar.rules.c_str(), "root"));
  }
  std::vector<const char*> patterns;
  for (const std::string& pattern : grammar.trigger_patterns) {
    patterns.push_back(pattern.c_str());
  }
  return SamplerPtr(llama_sampler_init_grammar_lazy_patterns(vocab, grammar.rules.c_str(), "root", patterns.data(),
                                                             patterns.size(), grammar.trigger_tokens.data(),
                                                             grammar.trigger_tokens.size()));
}

}  // namespace

TriggerRepeats trigger_repeats(const std::vector<std::string>& patterns) {
  TriggerRepeats repeats = TriggerRepeats::kNothing;
  for (const std::string& pattern : patterns) {
    for (size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] == '\\') {
        ++i;  // what is escaped repeats nothing
      } else if (pattern[i] == '*' || pattern[i] == '+' || pattern[i] == '{') {
        const bool blanks = i >= 2 && pattern.compare(i - 2, 2, "\\s") == 0;
        repeats = std::max(repeats, blanks ? TriggerRepeats::kBlanks : TriggerRepeats::kAnything);
      }
    }
  }
  return repeats;
}

AnswerSampler::AnswerSampler(const SamplingOptions& options, const llama_vocab* vocab)
    : vocab_(vocab), chain_(make_sampler(options, vocab)) {}

Result<std::unique_ptr<AnswerSampler>> AnswerSampler::create(const SamplingOptions& options, const llama_vocab* vocab,
                                                             const Grammar& grammar) {
  std::unique_ptr<AnswerSampler> sampler(new AnswerSampler(options, vocab));
  if (Status status = sampler->set_grammar(grammar); !status) {
    return propagate(status.error());
  }
  return sampler;
}

Status AnswerSampler::set_grammar(const Grammar& grammar) {
  if (grammar.rules.empty()) {
    return {};
  }
  constexpr const char* kRefused =
      "the answer cannot be held to this schema or to these tools: llama.cpp refuses the "
      "grammar made of them";
  try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
    grammar_ = make_grammar(vocab_, grammar);
    if (grammar_ == nullptr) {
      return fail(ErrorCode::kUsage, "{}", kRefused);
    }
    repeats_ = grammar.lazy ? trigger_repeats(grammar.trigger_patterns) : TriggerRepeats::kNothing;
    if (grammar.lazy && !grammar.thinking_start.empty() && !grammar.thinking_ends.empty()) {
      thinking_.reset(common_reasoning_budget_init(vocab_, {grammar.thinking_start}, grammar.thinking_ends,
                                                   grammar.thinking_ends.front(), INT_MAX));
      for (const int32_t token : grammar.begun) {
        llama_sampler_accept(thinking_.get(), token);
      }
    }
    for (const int32_t token : grammar.begun) {
      if (!grammar.lazy && !llama_vocab_is_eog(vocab_, token)) {
        llama_sampler_accept(grammar_.get(), token);
      }
    }
  } catch (...) {
    return fail(ErrorCode::kUsage, "{}", kRefused);
  }
  return {};
}

void AnswerSampler::accept_prompt(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    llama_sampler_accept(chain_.get(), token);
  }
}

bool AnswerSampler::grammar_applies() const {
  if (grammar_ == nullptr || thinking_ == nullptr) {
    return grammar_ != nullptr;
  }
  const common_reasoning_budget_state state = common_reasoning_budget_get_state(thinking_.get());
  return state == REASONING_BUDGET_IDLE || state == REASONING_BUDGET_DONE;
}

bool AnswerSampler::allowed(int32_t token) const {
  llama_token_data data = {token, 1, 0};
  llama_token_data_array one = {&data, 1, -1, false};
  llama_sampler_apply(grammar_.get(), &one);
  return data.logit == 1;
}

Result<int32_t> AnswerSampler::sample(const float* logits) {
  try {  // perhaps exceptions of another C++ library, where llama.cpp was built with one
    return choose(logits);
  } catch (...) {
    return fail(ErrorCode::kInternal, "the answer left its grammar");
  }
}

Result<int32_t> AnswerSampler::choose(const float* logits) {
  const int32_t count = llama_vocab_n_tokens(vocab_);
  llama_token_data_array array = all_candidates(logits, count);
  const llama_token_data* choice = select(chain_.get(), array);
  if (grammar_applies() && (choice == nullptr || !allowed(choice->id))) {
    // Dear, since every token of the vocabulary is held against the rules: only when the free choice was not allowed.
    array = all_candidates(logits, count);
    llama_sampler_apply(grammar_.get(), &array);
    choice = select(chain_.get(), array);
  }
  if (choice == nullptr) {
    return fail(ErrorCode::kInternal,
                "no token can follow: the grammar of the answer, or the model's output, has none");
  }
  const int32_t token = choice->id;
  llama_sampler_accept(chain_.get(), token);
  if (grammar_ != nullptr) {
    accept(token);
  }
  return token;
}

// For the grammar, and for whether the model thinks.
void AnswerSampler::accept(int32_t token) {
  const bool applied = grammar_applies();
  if (thinking_ != nullptr) {
    llama_sampler_accept(thinking_.get(), token);
    const bool done = common_reasoning_budget_get_state(thinking_.get()) == REASONING_BUDGET_DONE;
    const llama_tokens* end = common_reasoning_budget_get_end_match(thinking_.get());
    if (!applied && done && end != nullptr) {
      for (const int32_t it : *end) {  // what ends the thinking may be what the grammar waits for
        accept_by_grammar(it);
      }
    }
  }
  // llama.cpp aborts when a text ends where its grammar does not.
  if (applied && (allowed(token) || !llama_vocab_is_eog(vocab_, token))) {
    accept_by_grammar(token);
  }
}

// How deep the search for a trigger may go in the text with `token`.
size_t AnswerSampler::trigger_depth(int32_t token) {
  if (repeats_ == TriggerRepeats::kNothing) {
    return 0;
  }
  for (const char c : token_text(vocab_, token, true)) {
    ++text_bytes_;
    blanks_ = std::isspace(static_cast<unsigned char>(c)) != 0 ? blanks_ + 1 : 0;
    longest_blanks_ = std::max(longest_blanks_, blanks_);
  }
  return repeats_ == TriggerRepeats::kBlanks ? longest_blanks_ : text_bytes_;
}

void AnswerSampler::accept_by_grammar(int32_t token) {
  constexpr size_t kEasyDepth = 1024;
  constexpr size_t kStackOfCharacter = 4096;
  const size_t depth = trigger_depth(token);
  if (depth <= kEasyDepth) {
    llama_sampler_accept(grammar_.get(), token);
    return;
  }
  bool accepted = true;
  const auto work = [&] {
    try {
      llama_sampler_accept(grammar_.get(), token);
    } catch (...) {
      accepted = false;
    }
  };
  // Text beyond kDeepestRun is not looked at: no trigger comes any more.
  if (depth <= kDeepestRun && (!run_on_stack(depth * kStackOfCharacter, work) || !accepted)) {
    throw std::runtime_error("the grammar does not take the token");
  }
}

}  // namespace hypura
