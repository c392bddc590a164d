// What the text of an answer must be.
#pragma once

#include <string>
#include <vector>

namespace hypura {

// How a model marks its thoughts; empty when it has none.
struct ThinkingMarks {
  std::string start;
  std::vector<std::string> ends;
};

// A form that the text may take: perhaps `space`, then `opening`, then what the grammar `rules` allow, in llama.cpp's
// notation from "root".
struct TextForm {
  std::string rules;
  std::string opening;
  std::string space;
  // What the rules allow must begin with one of these; with anything where there are none.
  std::vector<std::string> begins;
  // What the prompt already holds of the text that the rules are for. Such a form takes no thoughts, no space and no
  // opening.
  std::string begun;
};

// Without forms and forbidden texts an answer is free.
struct AnswerRules {
  // The text takes one of these, after thoughts or without.
  std::vector<TextForm> forms;
  // Between the end of thoughts and the opening of what follows. Where there is such a mark, thoughts may come again.
  std::string after_thinking;
  bool space_after_thinking = true;  // there may be space instead

  // The text is free until one of the triggers comes in it; a form begins with its trigger.
  bool waits = false;
  std::vector<std::string> trigger_words;
  // Regular expressions. The form begins with the first group that matches something, else with the match, else where
  // that ends.
  std::vector<std::string> trigger_patterns;
  // The end of the prompt, which triggers may begin in.
  std::string prompt_end;

  // Free text does not hold these.
  std::vector<std::string> forbidden;

  // Thoughts are free, and no trigger counts in them.
  ThinkingMarks thinking;
  bool thinks = false;   // the prompt ends within a thought
  bool thought = false;  // or after one: the answer begins as it would after the model's own

  bool free() const { return forms.empty() && forbidden.empty(); }
};

}  // namespace hypura
