#include "output/answer_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "chat.h"
#include "llama/tokenizer/deep_stack.h"
#include "output/tool_call_ids.h"

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

// `text` with no more than a line break between marks.
std::string with_little_space_between(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t next = text.find_first_not_of(" \t\r\n", i);
    if (next != i && next != std::string::npos && text[next] == '<' && !result.empty() && result.back() == '>') {
      result += std::string_view(text).substr(i, next - i).find('\n') == std::string_view::npos ? "" : "\n";
      i = next;
    }
    result += text[i];
  }
  return result;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

bool is_json_object(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, false).is_object();
}

}  // namespace

AnswerParser::AnswerParser(const common_chat_parser_params& params)
    : params_(std::make_unique<common_chat_parser_params>(params)), last_(std::make_unique<common_chat_msg>()) {
  // An answer that goes on from a beginning in the prompt: that is no news.
  common_chat_msg beginning;
  if (parse(true, beginning)) {
    static_cast<void>(news(beginning, false));
    said_ = false;
  }
}

AnswerParser::~AnswerParser() = default;

void AnswerParser::or_content(const common_chat_parser_params& content) {
  content_params_ = std::make_unique<common_chat_parser_params>(content);
}

// False when the text has no form that the parser knows, or not yet. It calls itself for each bracket within another.
bool AnswerParser::parse(const common_chat_parser_params& params, bool partial, common_chat_msg& message) const {
  if (deepest_ > kDeepestAnswer) {
    return false;
  }
  bool parsed = false;
  const auto work = [&] {
    try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
      message = common_chat_parse(text_, partial, params);
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

bool AnswerParser::parse(bool partial, common_chat_msg& message) const {
  const bool parsed = parse(*params_, partial, message);
  common_chat_msg content;
  if (content_params_ == nullptr || !parse(*content_params_, true, content)) {
    return parsed;
  }
  if (partial && parsed && message.tool_calls.empty()) {
    return message.content == content.content;
  }
  if (!partial && (!parsed || message.tool_calls.empty())) {
    message = content;
    return true;
  }
  return parsed;
}

AnswerPiece AnswerParser::add(std::string_view text) {
  const bool was_too_deep = deepest_ > kDeepestAnswer;
  text_ += text;
  count_brackets(text);
  if (deepest_ > kDeepestAnswer) {
    AnswerPiece piece;
    piece.content = !was_too_deep && !said_ ? text_ : std::string(text);
    content_ += piece.content;
    said_ = said_ || !piece.empty();
    return piece;
  }
  common_chat_msg message;
  if (text.empty() || !parse(true, message)) {
    return {};
  }
  // What follows a call and has no form takes the call back, in some of llama.cpp's parsers.
  if (message.tool_calls.size() >= last_->tool_calls.size()) {
    *last_ = std::move(message);
  }
  return news(*last_, false);
}

AnswerPiece AnswerParser::finish() {
  common_chat_msg message;
  if (is_blank(content_) && calls_ == 0 && !parse(*params_, false, message)) {
    // llama.cpp's grammar of calls allows space between marks where its parser does not.
    const std::string text = std::exchange(text_, with_little_space_between(text_));
    if (!parse(*params_, false, message) || message.tool_calls.empty()) {
      text_ = text;
    }
  }
  const bool parsed = parse(false, message) || parse(true, message);
  if (!parsed || message.tool_calls.size() < last_->tool_calls.size()) {
    // Something that no answer has came after what was one: the calls that it made count.
    message = std::move(*last_);
  }
  AnswerPiece piece = news(message, true);
  if (!said_) {
    piece.content = text_;
  }
  return piece;
}

AnswerPiece AnswerParser::news(const common_chat_msg& message, bool whole) {
  AnswerPiece piece;
  piece.thinking = grown(thinking_, message.reasoning_content);
  piece.content = grown(content_, message.content);
  const size_t complete = message.tool_calls.size() - (whole || message.tool_calls.empty() ? 0 : 1);
  over_ = message.tool_calls.size() > most_calls_;
  for (; calls_ < std::min(complete, most_calls_); ++calls_) {
    const common_chat_tool_call& call = message.tool_calls[calls_];
    if (!call.name.empty() && is_json_object(call.arguments)) {
      piece.tool_calls.push_back({id_for_client(call.id), call.name, call.arguments});
    }
  }
  said_ = said_ || !piece.empty();
  return piece;
}

}  // namespace hypura
