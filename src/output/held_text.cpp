#include "output/held_text.h"

#include <algorithm>
#include <cmath>

#include "llama/tokenizer/control_text.h"
#include "support/fail.h"

namespace hypura {

namespace {

// How much of a free text the patterns of triggers see: the search calls itself for each character.
constexpr size_t kPatternWindow = 512;
constexpr const char* kStart = "hypura-start";
constexpr const char* kSpace = "[ \\t\\r\\n]{0,4} ";

// A rule to begin with, and the others: `opening`, then `then`.
std::string opened(const std::string& opening, const std::string& then, const std::string& rules) {
  return fmt::format("{} ::= {}{}\n{}", kStart, opening, then, rules);
}

// "" or a literal and a space.
std::string literal_before(const std::string& text) {
  return text.empty() ? "" : grammar_literal(text) + " ";
}

std::string any_of(const std::vector<std::string>& texts) {
  std::string rule;
  for (const std::string& text : texts) {
    rule += (rule.empty() ? "(" : " | ") + grammar_literal(text);
  }
  return rule + ") ";
}

}  // namespace

bool HeldForm::add(const std::string& text) {
  return std::all_of(grammars_.begin(), grammars_.end(), [&](TextGrammar& it) { return it.add(text); });
}

void HeldForm::add(int32_t token) {
  for (TextGrammar& grammar : grammars_) {
    grammar.add(token);
  }
}

bool HeldForm::allows(int32_t token) const {
  return std::all_of(grammars_.begin(), grammars_.end(), [&](const TextGrammar& it) { return it.allows(token); });
}

void HeldForm::mask(std::span<Candidate> candidates) const {
  for (const TextGrammar& grammar : grammars_) {
    grammar.mask(candidates);
  }
}

Result<std::unique_ptr<HeldText>> HeldText::create(Vocabulary vocab, AnswerRules rules) {
  std::unique_ptr<HeldText> held(new HeldText(vocab, std::move(rules)));
  if (Status status = held->prepare(); !status) {
    return propagate(status.error());
  }
  return held;
}

Status HeldText::prepare() {
  for (const std::string& pattern : rules_.trigger_patterns) {
    patterns_.emplace_back(pattern);
  }
  for (const auto* marks : {&rules_.trigger_words, &rules_.forbidden, &rules_.thinking.ends}) {
    for (const std::string& mark : *marks) {
      longest_mark_ = std::max(longest_mark_, mark.size());
    }
  }
  longest_mark_ = std::max({longest_mark_, rules_.thinking.start.size(), patterns_.empty() ? 0 : kPatternWindow});
  thought_at_first_ = answers() && !rules_.thinking.start.empty();
  thought_later_ = thought_at_first_ && !rules_.after_thinking.empty();
  const char* space = rules_.space_after_thinking ? kSpace : "";
  if (Status status = add_forms("", thought_at_first_, rules_.thought ? space : "", first_); !status) {
    return status;
  }
  if (answers() && !rules_.thinking.ends.empty()) {
    if (Status status = add_forms(rules_.after_thinking, thought_later_, space, later_); !status) {
      return status;
    }
  }
  if (rules_.thinks) {
    state_ = State::kThinking;
  } else if (answers()) {
    hold(first_, thought_at_first_, "");
  }
  text_ = state_ == State::kFree ? rules_.prompt_end : "";
  answer_at_ = text_.size();
  return {};
}

// The forms after `before`, and first of them a thought if there may be one.
Status HeldText::add_forms(const std::string& before, bool thought, const char* space,
                           std::vector<HeldForm>& forms) const {
  std::vector<TextForm> wanted = rules_.forms;
  if (thought) {
    wanted.insert(wanted.begin(), TextForm{"root ::= .*\n", rules_.thinking.start, "", {}, ""});
  }
  for (const TextForm& form : wanted) {
    auto made = make_form(form, before, space);
    if (!made) {
      return propagate(made.error());
    }
    forms.push_back(std::move(*made));
  }
  return {};
}

Result<HeldForm> HeldText::make_form(const TextForm& form, const std::string& before, const char* space) const {
  const bool as_it_is = rules_.waits || !form.begun.empty();
  const std::string own_space = form.space.empty() ? "" : grammar_literal(form.space) + "? ";
  const std::string opening = as_it_is ? "" : space + own_space + literal_before(before + form.opening);
  auto rules = as_it_is ? TextGrammar::create(vocab_, form.rules, "root")
                        : TextGrammar::create(vocab_, opened(opening, "root", form.rules), kStart);
  if (!rules) {
    return propagate(rules.error());
  }
  if (!form.begun.empty() && !rules->add(form.begun)) {
    return fail(ErrorCode::kUsage,
                "the answer cannot be constrained to this schema or these tools: its beginning in the messages does "
                "not match them");
  }
  std::vector<TextGrammar> grammars;
  grammars.push_back(std::move(*rules));
  if (!form.begins.empty()) {
    auto begins = TextGrammar::create(vocab_, opened(opening + any_of(form.begins), ".*", ""), kStart);
    if (!begins) {
      return propagate(begins.error());
    }
    grammars.push_back(std::move(*begins));
  }
  return HeldForm(std::move(grammars));
}

// Of what may happen in a text that is free.
HeldText::Event HeldText::event_in(State state, const std::string& text) const {
  Event first;
  const auto note = [&](Event::Kind kind, const std::string& mark, bool mark_stays) {
    const size_t at = mark.empty() ? std::string::npos : text.find(mark);
    if (at < first.mark) {
      first = {kind, at, at + (mark_stays ? 0 : mark.size())};
    }
  };
  if (state == State::kThinking) {
    for (const std::string& end : rules_.thinking.ends) {
      // What ends the thoughts may be what the text waits for.
      const auto has = [&](const std::vector<std::string>& marks) {
        return std::find(marks.begin(), marks.end(), end) != marks.end();
      };
      note(Event::Kind::kThoughtEnds, end, has(rules_.trigger_words) || has(rules_.forbidden));
    }
    return first;
  }
  for (const std::string& word : rules_.forbidden) {
    note(Event::Kind::kForbidden, word, true);
  }
  note(Event::Kind::kThinks, rules_.thinking.start, false);
  if (rules_.waits) {
    for (const std::string& word : rules_.trigger_words) {
      note(Event::Kind::kTriggers, word, true);
    }
    if (const Event event = trigger_in(text); event.mark < first.mark) {
      first = event;
    }
  }
  return first;
}

// By a pattern. One whose text cannot be of a form triggers nothing.
HeldText::Event HeldText::trigger_in(const std::string& text) const {
  if (text.size() > 4 * kPatternWindow) {  // one token with as much text as no vocabulary has
    return {};
  }
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const bool anchored = rules_.trigger_patterns[i].front() == '^';
    if (anchored && answer_at_ == std::string::npos) {
      continue;
    }
    const size_t from = anchored ? answer_at_ : 0;
    std::smatch match;
    if (!std::regex_search(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(), match, patterns_[i])) {
      continue;
    }
    const auto group = std::find_if(match.begin() + 1, match.end(), [](const auto& it) { return it.length() > 0; });
    const auto begin = static_cast<size_t>(match.position(0)) + from;
    const size_t grouped = group == match.end() ? begin : static_cast<size_t>(group->first - text.begin());
    for (const size_t at : {grouped, begin + static_cast<size_t>(match.length(0))}) {
      const std::string rest = text.substr(at);
      if (std::any_of(first_.begin(), first_.end(), [&](HeldForm form) { return form.add(rest); })) {
        return {Event::Kind::kTriggers, begin, at};
      }
    }
  }
  return {};
}

// Whether a free text may be followed by what its end, `text`, has that was not there before.
bool HeldText::fits(State state, const std::string& text) const {
  const Event event = event_in(state, text);
  if (event.kind == Event::Kind::kNone) {
    return true;
  }
  if (event.kind == Event::Kind::kForbidden) {
    return false;
  }
  const std::string rest = text.substr(event.rest);
  if (event.kind == Event::Kind::kThinks) {
    return fits(State::kThinking, rest);
  }
  if (event.kind == Event::Kind::kThoughtEnds && !answers()) {
    return fits(State::kFree, rest);
  }
  const std::vector<HeldForm>& forms = event.kind == Event::Kind::kTriggers ? first_ : later_;
  return std::any_of(forms.begin(), forms.end(), [&](HeldForm form) { return form.add(rest); });
}

bool HeldText::allows(int32_t token) const {
  if (state_ == State::kHeld) {
    return std::any_of(held_.begin(), held_.end(), [&](const HeldForm& form) { return form.allows(token); });
  }
  if (vocab_.ends_text(token)) {
    return before_end().empty();
  }
  return fits(state_, text_ + token_text(vocab_, token, true));
}

std::string_view HeldText::before_end() const {
  return state_ == State::kThinking && answers() ? std::string_view(rules_.thinking.ends.front()) : std::string_view();
}

void HeldText::mask(std::span<Candidate> candidates) const {
  if (held_.size() == 1) {
    held_.front().mask(candidates);
    return;
  }
  std::vector<char> possible(candidates.size());
  for (const HeldForm& form : held_) {
    std::vector<Candidate> copy(candidates.begin(), candidates.end());
    form.mask(copy);
    for (size_t i = 0; i < copy.size(); ++i) {
      possible[i] = possible[i] != 0 || copy[i].logit > -INFINITY ? 1 : 0;
    }
  }
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates[i].logit = possible[i] != 0 ? candidates[i].logit : -INFINITY;
  }
}

void HeldText::add(int32_t token) {
  if (vocab_.ends_text(token)) {
    return;
  }
  const std::string text = token_text(vocab_, token, true);
  if (state_ != State::kHeld) {
    hear(text);
    return;
  }
  may_think_ = may_think_ && held_.front().allows(token);
  std::erase_if(held_, [&](const HeldForm& form) { return !form.allows(token); });
  for (HeldForm& form : held_) {
    form.add(token);
  }
  text_ += text;
  look_for_thought();
}

// Free text goes on.
void HeldText::hear(const std::string& text) {
  text_ += text;
  const Event event = event_in(state_, text_);
  const std::string rest = event.kind == Event::Kind::kNone ? "" : text_.substr(event.rest);
  switch (event.kind) {
    case Event::Kind::kNone:
    case Event::Kind::kForbidden:
      forget();
      return;
    case Event::Kind::kTriggers:
      hold(first_, thought_at_first_, rest);
      return;
    case Event::Kind::kThinks:
      state_ = State::kThinking;
      break;
    case Event::Kind::kThoughtEnds:
      if (answers()) {
        hold(later_, thought_later_, rest);
        return;
      }
      state_ = State::kFree;
      break;
  }
  text_.clear();
  answer_at_ = std::string::npos;
  hear(rest);
}

void HeldText::hold(const std::vector<HeldForm>& forms, bool thought, const std::string& text) {
  state_ = State::kHeld;
  held_.clear();
  may_think_ = false;
  text_ = text;
  for (size_t i = 0; i < forms.size(); ++i) {
    HeldForm form(forms[i]);
    if (form.add(text)) {
      may_think_ = may_think_ || (i == 0 && thought);
      held_.push_back(std::move(form));
    }
  }
  look_for_thought();
}

// Whether the held text has become a thought.
void HeldText::look_for_thought() {
  const size_t at = may_think_ ? text_.find(rules_.thinking.start) : std::string::npos;
  if (at == std::string::npos) {
    return;
  }
  const std::string rest = text_.substr(at + rules_.thinking.start.size());
  state_ = State::kThinking;
  held_.clear();
  may_think_ = false;
  text_.clear();
  hear(rest);
}

// Of free text only what a mark may begin with is kept.
void HeldText::forget() {
  if (text_.size() > longest_mark_) {
    text_.erase(0, text_.size() - longest_mark_);
    answer_at_ = std::string::npos;
  }
}

}  // namespace hypura
