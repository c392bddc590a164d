// Follows the text of an answer, and says which tokens may come next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypura/result.h"
#include "llama/text_grammar.h"
#include "output/answer_rules.h"

namespace hypura {

// What a text is held to: all of several grammars.
class HeldForm {
 public:
  explicit HeldForm(std::vector<TextGrammar> grammars) : grammars_(std::move(grammars)) {}

  // As TextGrammar has them.
  bool add(const std::string& text);
  void add(int32_t token);
  bool allows(int32_t token) const;
  void mask(std::span<Candidate> candidates) const;

 private:
  std::vector<TextGrammar> grammars_;
};

// Belongs to one thread at a time. The vocabulary must outlive it.
class HeldText {
 public:
  // Fails with kUsage when llama.cpp does not accept a grammar, or the prompt has left it already.
  static Result<std::unique_ptr<HeldText>> create(Vocabulary vocab, AnswerRules rules);

  // Whether `token` may come next.
  bool allows(int32_t token) const;

  // Whether nearly every token may come next, so that allows() tells of those that a model wants, one by one.
  bool free() const { return state_ != State::kHeld; }

  // Sets the logits of tokens that may not come next to -infinity. Only when not free().
  void mask(std::span<Candidate> candidates) const;

  // `token`, which must be allowed, came.
  void add(int32_t token);

  // What a model must say before it may end: the end of its thoughts, where an answer must follow them. Empty where it
  // may end.
  std::string_view before_end() const;

 private:
  enum class State { kFree, kThinking, kHeld };

  // The first thing that happens in a free text.
  struct Event {
    enum class Kind { kNone, kThinks, kThoughtEnds, kTriggers, kForbidden };
    Kind kind = Kind::kNone;
    size_t mark = std::string::npos;  // where what makes it happen begins
    size_t rest = std::string::npos;  // where the text goes on
  };

  HeldText(Vocabulary vocab, AnswerRules rules) : vocab_(vocab), rules_(std::move(rules)) {}

  Status prepare();
  Status add_forms(const std::string& before, bool thought, const char* space, std::vector<HeldForm>& forms) const;
  Result<HeldForm> make_form(const TextForm& form, const std::string& before, const char* space) const;
  bool answers() const { return !rules_.forms.empty() && !rules_.waits; }

  Event event_in(State state, const std::string& text) const;
  Event trigger_in(const std::string& text) const;
  bool fits(State state, const std::string& text) const;
  void hear(const std::string& text);
  void hold(const std::vector<HeldForm>& forms, bool thought, const std::string& text);
  void look_for_thought();
  void forget();

  Vocabulary vocab_;
  AnswerRules rules_;
  std::vector<std::regex> patterns_;
  // The forms as they begin, at first or from their triggers, and after a thought. Where a thought may come, it is the
  // first of them.
  std::vector<HeldForm> first_;
  std::vector<HeldForm> later_;
  bool thought_at_first_ = false;
  bool thought_later_ = false;
  size_t longest_mark_ = 0;

  State state_ = State::kFree;
  std::string text_;            // the end of the free text; of held text all
  size_t answer_at_ = 0;        // where the answer begins in text_; npos once that is forgotten
  std::vector<HeldForm> held_;  // those forms that the text may still be of
  bool may_think_ = false;      // held_[0] is a thought
};

}  // namespace hypura
