#include "engine/answer_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chat.h"
#include "engine/deep_stack.h"
#include "support/random_id.h"

namespace hypura {

namespace {

// llama.cpp's parser takes some 3 KB for each bracket.
constexpr size_t kStackOfBracket = size_t{16} << 10;
constexpr size_t kEasyNesting = 100;

// What `whole` has after `given`, which then is the same. While text comes in, a parser may take back the end of what
// it gave, when that turns out to begin something else: then there is nothing new.
std::string grown(std::string& given, const std::string& whole) {
  if (whole.size() <= given.size() || whole.compare(0, given.size(), given) != 0) {
    return {};
  }
  std::string more = whole.substr(given.size());
  given = whole;
  return more;
}

bool is_json_object(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, false).is_object();
}

}  // namespace

AnswerParser::AnswerParser(const common_chat_parser_params& params)
    : params_(std::make_unique<common_chat_parser_params>(params)) {
  // An answer that goes on from a beginning in the prompt: that is no news.
  common_chat_msg beginning;
  if (parse(true, beginning)) {
    static_cast<void>(news(beginning, false));
  }
}

AnswerParser::~AnswerParser() = default;

// False when the text has no form that the parser knows, or not yet. It calls itself for each bracket within another.
bool AnswerParser::parse(bool partial, common_chat_msg& message) const {
  if (deepest_ > kDeepestAnswer) {
    return false;
  }
  bool parsed = false;
  const auto work = [&] {
    try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
      message = common_chat_parse(text_, partial, *params_);
      parsed = true;
    } catch (...) {
      parsed = false;
    }
  };
  if (deepest_ <= kEasyNesting) {
    work();
  } else {
    run_on_stack(kStackOfBracket * deepest_, work);
  }
  return parsed;
}

void AnswerParser::count_brackets(std::string_view text) {
  for (const char c : text) {
    if (c == '[' || c == '{' || c == '(') {
      deepest_ = std::max(deepest_, ++nesting_);
    } else if ((c == ']' || c == '}' || c == ')') && nesting_ > 0) {
      --nesting_;
    }
  }
}

AnswerPiece AnswerParser::add(std::string_view text) {
  const bool was_too_deep = deepest_ > kDeepestAnswer;
  text_ += text;
  count_brackets(text);
  if (deepest_ > kDeepestAnswer) {
    AnswerPiece piece;
    const bool nothing_given = content_.empty() && thinking_.empty() && calls_ == 0;
    piece.content = !was_too_deep && nothing_given ? text_ : std::string(text);
    content_ += piece.content;
    return piece;
  }
  common_chat_msg message;
  return !text.empty() && parse(true, message) ? news(message, false) : AnswerPiece();
}

AnswerPiece AnswerParser::finish() {
  common_chat_msg message;
  if (parse(false, message) || parse(true, message)) {
    return news(message, true);
  }
  AnswerPiece piece;
  if (content_.empty() && thinking_.empty() && calls_ == 0) {
    piece.content = text_;
  }
  return piece;
}

AnswerPiece AnswerParser::news(const common_chat_msg& message, bool whole) {
  AnswerPiece piece;
  piece.thinking = grown(thinking_, message.reasoning_content);
  piece.content = grown(content_, message.content);
  const size_t complete = message.tool_calls.size() - (whole || message.tool_calls.empty() ? 0 : 1);
  for (; calls_ < complete; ++calls_) {
    const common_chat_tool_call& call = message.tool_calls[calls_];
    if (!call.name.empty() && is_json_object(call.arguments)) {
      piece.tool_calls.push_back({call.id.empty() ? random_id("call_", 8) : call.id, call.name, call.arguments});
    }
  }
  return piece;
}

}  // namespace hypura
