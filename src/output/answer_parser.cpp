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

// The parser reads all it is given each time, some 40 us for a KiB. Up to so many bytes it does so for each token; then
// for the more bytes at once the more there are, so that a token takes no more of the time.
constexpr size_t kReadAlways = 4096;
constexpr size_t kReadShare = 500;

// Of thoughts and content so much stays at both ends.
constexpr size_t kHead = 128;
constexpr size_t kTail = 512;
constexpr size_t kCutFrom = 2048;

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

// The end of the character that `at` is in.
size_t character_end(const std::string& text, size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) {
    ++at;
  }
  return at;
}

bool same(const common_chat_msg& one, const common_chat_msg& other) {
  return one.reasoning_content == other.reasoning_content && one.content == other.content &&
         one.tool_calls == other.tool_calls;
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
      message = common_chat_parse(read_, partial, params);
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

// Bytes that must have come before it is worth to parse again.
size_t AnswerParser::wanted() const {
  return (read_.size() - std::min(read_.size(), kReadAlways)) / kReadShare;
}

// What has been cut is put back where the thoughts, the content and the calls change in more than their length.
bool AnswerParser::parse_so_far(common_chat_msg& message) {
  const bool parsed = parse(true, message);
  if (read_.size() == text_.size()) {
    return parsed;
  }
  if (parsed && restore(message, cut_thinking_, cut_content_) &&
      message.tool_calls.size() == last_->tool_calls.size() && message.content.empty() == last_->content.empty()) {
    return true;
  }
  read_ = text_;
  cut_thinking_ = {};
  cut_content_ = {};
  message = {};
  return parse(true, message);
}

bool AnswerParser::restore(common_chat_msg& message, const Cut& thinking, const Cut& content) const {
  const auto put = [](std::string& text, const Cut& cut) {
    if (cut.text.empty()) {
      return true;
    }
    if (text.size() < cut.at + kTail / 2) {
      return false;
    }
    text.insert(cut.at, cut.text);
    return true;
  };
  return put(message.reasoning_content, thinking) && put(message.content, content);
}

// Takes the middle out of long thoughts and content, where the parser then says the same.
void AnswerParser::shorten() {
  if (read_.size() < std::max(next_cut_, kCutFrom)) {
    return;
  }
  std::string shorter = text_;
  const auto cut = [&](const std::string& part, size_t at) {
    Cut result;
    if (part.size() < kCutFrom / 2 || at == std::string::npos) {
      return result;
    }
    result.at = character_end(part, kHead);
    result.text = part.substr(result.at, character_end(part, part.size() - kTail) - result.at);
    shorter.erase(at + result.at, result.text.size());
    return result;
  };
  const Cut content = cut(last_->content, shorter.rfind(last_->content));
  const Cut thinking = cut(last_->reasoning_content, shorter.find(last_->reasoning_content));
  std::swap(read_, shorter);
  common_chat_msg message;
  if (parse(true, message) && restore(message, thinking, content) && same(message, *last_)) {
    cut_thinking_ = thinking;
    cut_content_ = content;
  } else {
    std::swap(read_, shorter);
  }
  next_cut_ = 2 * read_.size() + kCutFrom / 2;
}

AnswerPiece AnswerParser::add(std::string_view text) {
  const bool was_too_deep = deepest_ > kDeepestAnswer;
  text_ += text;
  read_ += text;
  waiting_ += text.size();
  count_brackets(text);
  if (deepest_ > kDeepestAnswer) {
    AnswerPiece piece;
    piece.content =
        !was_too_deep && !said_ ? text_ : text_.substr(text_.size() - (was_too_deep ? text.size() : waiting_));
    content_ += piece.content;
    said_ = said_ || !piece.empty();
    return piece;
  }
  if (waiting_ == 0 || waiting_ < wanted()) {
    return {};
  }
  waiting_ = 0;
  common_chat_msg message;
  if (!parse_so_far(message)) {
    return {};
  }
  // What follows a call and has no form takes the call back, in some of llama.cpp's parsers.
  if (message.tool_calls.size() >= last_->tool_calls.size()) {
    *last_ = std::move(message);
    shorten();
  }
  return news(*last_, false);
}

AnswerPiece AnswerParser::finish() {
  read_ = text_;
  common_chat_msg message;
  if (is_blank(content_) && calls_ == 0 && !parse(*params_, false, message)) {
    read_with_less_space();
  }
  const bool parsed = parse(false, message) || parse(true, message);
  if (!parsed || message.tool_calls.size() < last_->tool_calls.size()) {
    // Something that no answer has came after what was one: the calls that it made count.
    message = std::move(*last_);
  }
  AnswerPiece piece = news(message, true);
  if (!said_) {
    piece.content = text_;
  } else if (!called_) {
    piece.content += marks_.after(text_, thinking_, content_, !message.tool_calls.empty());
  }
  return piece;
}

// The text is read with less space where that makes a call or content of it.
void AnswerParser::read_with_less_space() {
  common_chat_msg message;
  read_ = AnswerRest::little_space_between_marks(text_);
  if (parse(*params_, false, message) && !message.tool_calls.empty()) {
    return;
  }
  read_ = marks_.no_space_after_thoughts(text_, thinking_);
  if (!parse(*params_, false, message) || (message.tool_calls.empty() && is_blank(message.content))) {
    read_ = text_;
  }
}

AnswerPiece AnswerParser::news(const common_chat_msg& message, bool whole) {
  AnswerPiece piece;
  piece.thinking = grown(thinking_, message.reasoning_content);
  piece.content = grown(content_, message.content);
  if (ends_with_calls_ && calling_ && !is_blank(piece.content)) {
    piece.content.clear();
    over_ = true;
  }
  calling_ = calling_ || !message.tool_calls.empty();
  const size_t complete = message.tool_calls.size() - (whole || message.tool_calls.empty() ? 0 : 1);
  over_ = over_ || message.tool_calls.size() > most_calls_;
  for (; calls_ < std::min(complete, most_calls_); ++calls_) {
    const common_chat_tool_call& call = message.tool_calls[calls_];
    if (!call.name.empty() && is_json_object(call.arguments)) {
      piece.tool_calls.push_back({id_for_client(call.id), call.name, call.arguments});
      called_ = true;
    }
  }
  said_ = said_ || !piece.empty();
  return piece;
}

}  // namespace hypura
