// What a chat template puts around an answer, found by rendering one.
#pragma once

#include <string>

#include "chat/chat_prompt.h"
#include "output/answer_rules.h"

struct common_chat_params;
struct common_chat_parser_params;

namespace hypura {

struct AnswerShape {
  // How an answer begins in the prompt, up to a thought.
  std::string beginning;

  // What comes between the prompt and an answer's content, when the model did not think.
  std::string content_opening;
  // Whether JSON after content_opening is what llama.cpp's parser takes for the content.
  bool content_is_known = false;

  // Whether llama.cpp's parser tells thoughts, marked as it says, from the content after them.
  bool thoughts_are_known = false;
  // What comes between the end of thoughts and whatever would have come without them.
  std::string after_thinking;
  // Whether llama.cpp's parser would take space in that place, and the marks behind it, for content.
  bool space_is_content = false;

  // What comes between the prompt and the name of a tool that is called; empty when the template shows no calls.
  std::string call_opening;
  // What of it comes before that part which llama.cpp's grammar of calls begins with; and whether it begins there.
  std::string before_call;
  // Space in its place, which need not be there.
  std::string space_before_call;
  bool calls_begin_there = false;
  // Whether that grammar takes any text for a tool's name at first.
  bool any_name_begins = false;
};

// Renders a few short conversations. What a template refuses to render is left empty. Thread-safe.
AnswerShape find_answer_shape(const ChatPrompt& prompt);

// How the model marks its thoughts, by what the template gave. What ends them first is their own mark; others begin
// something else.
ThinkingMarks thinking_marks(const common_chat_params& params);

// What the parser takes for the content of an answer that goes on with `text`; empty when it cannot read it.
std::string parsed_content(const common_chat_parser_params& parser, const std::string& text);

// Whether `text`, which the answer goes on from, ends within a thought.
bool ends_in_thought(const std::string& text, const ThinkingMarks& marks);

}  // namespace hypura
