// What a parser of answers leaves: text between the parts that it gave, and after them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "output/answer_rules.h"

namespace hypura {

// Reads an answer's text beside a parser, which gives parts of it and says not where they stood. Knows the marks of one
// template, and nothing of an answer: all functions are pure, so any thread may call them. Nothing fails: what is not
// found in the text counts as not there.
class AnswerRest {
 public:
  AnswerRest() = default;

  // How thoughts are marked (the first of its ends is the mark itself, others are what ends thoughts without being
  // one), what may come between them and content, and what is in text that begins a call.
  AnswerRest(ThinkingMarks thoughts, std::string opening, std::vector<std::string> calls);

  // Answers may have any space after thoughts and between the marks of calls: llama.cpp's grammars and ours allow it,
  // its parsers know some of it. These give `text`, a whole answer, with less: no more than one line break between
  // marks in angle brackets; and none right after the mark that ends `thinking`, the thoughts that the parser gave of
  // it.
  static std::string little_space_between_marks(std::string_view text);
  std::string no_space_after_thoughts(const std::string& text, const std::string& thinking) const;

  // What a whole answer says after the thoughts and the content that the parser gave of it, but for the marks around
  // content; empty where that is nothing but such marks. `call`: the parser found a call in it, given or not. Without
  // one, what follows content counts only where it holds the mark of a call.
  std::string after(const std::string& text, const std::string& thinking, const std::string& content, bool call) const;

 private:
  size_t after_thoughts(const std::string& text, const std::string& thinking) const;

  ThinkingMarks thoughts_;
  std::string opening_;
  std::vector<std::string> calls_;
};

// Nothing but white space.
bool is_blank(std::string_view text);

}  // namespace hypura
