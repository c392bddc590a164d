#include "output/answer_rest.h"

#include <algorithm>
#include <utility>

namespace hypura {

namespace {

constexpr const char* kBlanks = " \t\r\n";

}  // namespace

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

AnswerRest::AnswerRest(ThinkingMarks thoughts, std::string opening, std::vector<std::string> calls)
    : thoughts_(std::move(thoughts)), opening_(std::move(opening)), calls_(std::move(calls)) {}

std::string AnswerRest::little_space_between_marks(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t next = text.find_first_not_of(kBlanks, i);
    if (next != i && next != std::string_view::npos && text[next] == '<' && !result.empty() && result.back() == '>') {
      result += text.substr(i, next - i).find('\n') == std::string_view::npos ? "" : "\n";
      i = next;
    }
    result += text[i];
  }
  return result;
}

std::string AnswerRest::no_space_after_thoughts(const std::string& text, const std::string& thinking) const {
  const std::string mark = thoughts_.ends.empty() ? "" : thoughts_.ends.front();
  const size_t thought = is_blank(thinking) ? 0 : text.find(thinking);
  const size_t at = thought == std::string::npos ? thought : text.find(mark, thought);
  if (mark.empty() || at == std::string::npos) {
    return text;
  }
  const size_t end = at + mark.size();
  return text.substr(0, end) + text.substr(std::min(text.find_first_not_of(kBlanks, end), text.size()));
}

// Where what follows the thoughts begins.
size_t AnswerRest::after_thoughts(const std::string& text, const std::string& thinking) const {
  if (is_blank(thinking)) {
    return 0;
  }
  const size_t thought = text.find(thinking);
  const size_t after = thought == std::string::npos ? 0 : thought + thinking.size();
  size_t end = std::string::npos;
  size_t from = after;
  for (const std::string& mark : thoughts_.ends) {
    if (const size_t at = text.find(mark, after); at < end) {
      end = at;
      from = at + (mark == thoughts_.ends.front() ? mark.size() : 0);
    }
  }
  const std::string between = text.substr(after, end == std::string::npos ? end : end - after);
  const bool cut = end == std::string::npos && !thoughts_.ends.empty() && thoughts_.ends.front().starts_with(between);
  if (cut || thought == std::string::npos) {
    return cut || end == std::string::npos ? text.size() : from;
  }
  return is_blank(between) ? from : after;
}

std::string AnswerRest::after(const std::string& text, const std::string& thinking, const std::string& content,
                              bool call) const {
  size_t from = after_thoughts(text, thinking);
  if (!is_blank(content)) {
    const size_t at = text.find(content, from);
    const std::string said = at == std::string::npos ? "" : text.substr(at + content.size());
    const auto in_it = [&](const std::string& mark) { return said.find(mark) != std::string::npos; };
    return call || std::any_of(calls_.begin(), calls_.end(), in_it) ? said : "";
  }
  from = std::min(text.find_first_not_of(kBlanks, from), text.size());
  const std::string said = text.substr(from);
  const bool opens =
      opening_.starts_with(said) || (said.starts_with(opening_) && is_blank(said.substr(opening_.size())));
  return opens ? "" : said;
}

}  // namespace hypura
