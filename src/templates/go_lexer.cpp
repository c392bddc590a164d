#include "templates/go_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

constexpr size_t kLargestGoTemplate = size_t{64} << 10;
constexpr std::string_view kGoSpace = " \t\r\n";
constexpr size_t kDelimiter = 2;  // {{ and }}

bool is_go_space(char c) {
  return kGoSpace.find(c) != std::string_view::npos;
}

bool is_go_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_go_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

void trim_end(std::string_view& text) {
  text = text.substr(0, text.find_last_not_of(kGoSpace) + 1);
}

// The tokens of one action.
class ActionLexer {
 public:
  ActionLexer(std::string_view text, size_t at) : text_(text), at_(at) {}

  // Reads up to the end of the action, }} included.
  Result<std::vector<GoToken>> tokens() {
    std::vector<GoToken> all;
    while (true) {
      const bool spaced = skip_space();
      if (at_ >= text_.size()) {
        return fail(ErrorCode::kUsage, "it is not closed by }}}}");
      }
      if (closes(spaced)) {
        return all;
      }
      auto token = next();
      if (!token) {
        return propagate(token.error());
      }
      token->spaced = spaced;
      all.push_back(std::move(*token));
    }
  }

  size_t at() const { return at_; }
  bool trims() const { return trims_; }

 private:
  bool skip_space() {
    const size_t before = at_;
    while (at_ < text_.size() && is_go_space(text_[at_])) {
      ++at_;
    }
    return at_ > before;
  }

  bool closes(bool spaced) {
    trims_ = spaced && text_.substr(at_).starts_with("-}}");
    if (!trims_ && !text_.substr(at_).starts_with("}}")) {
      return false;
    }
    at_ += kDelimiter + (trims_ ? 1 : 0);
    return true;
  }

  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_go_letter(text_[at_])) {
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  Result<GoToken> next() {
    const char c = text_[at_];
    const char after = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == '"' || c == '`') {
      return quoted(c).map([](std::string&& text) { return GoToken{GoKind::kText, std::move(text)}; });
    }
    if (is_go_digit(c) || (c == '-' && is_go_digit(after))) {
      return number();
    }
    if (is_go_letter(c)) {
      return GoToken{GoKind::kWord, name()};
    }
    ++at_;
    if (c == '.') {
      const bool named = is_go_letter(after);
      return GoToken{named ? GoKind::kField : GoKind::kDot, name()};
    }
    if (c == '$') {
      return GoToken{GoKind::kVariable, name()};
    }
    if (c == ':' && after == '=') {
      ++at_;
      return GoToken{GoKind::kDeclare, ":="};
    }
    static constexpr std::array<std::pair<char, GoKind>, 5> kSigns = {{{'(', GoKind::kOpen},
                                                                       {')', GoKind::kClose},
                                                                       {'|', GoKind::kPipe},
                                                                       {'=', GoKind::kAssign},
                                                                       {',', GoKind::kComma}}};
    const auto sign = std::ranges::find(kSigns, c, &std::pair<char, GoKind>::first);
    if (sign == kSigns.end()) {
      return fail(ErrorCode::kUsage, "'{}' does not belong there", printable(std::string(1, c)));
    }
    return GoToken{sign->second, std::string(1, c)};
  }

  Result<GoToken> number() {
    constexpr size_t kMostDigits = 15;
    const size_t begin = at_++;
    bool point = false;
    while (at_ < text_.size() && (is_go_letter(text_[at_]) || (text_[at_] == '.' && !std::exchange(point, true)))) {
      ++at_;
    }
    const std::string_view digits = text_.substr(begin, at_ - begin);
    const bool plain = std::ranges::all_of(digits.substr(1), [](char c) { return is_go_digit(c) || c == '.'; });
    if (!plain || digits.back() == '.' || digits.size() > kMostDigits) {
      return fail(ErrorCode::kUsage, "the number {} is not supported", digits.substr(0, kMostDigits));
    }
    return GoToken{GoKind::kNumber, std::string(digits)};
  }

  Result<std::string> quoted(char quote) {
    std::string value;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      char c = text_[at_];
      if (quote == '"' && c == '\n') {
        break;
      }
      if (quote == '"' && c == '\\') {
        static constexpr std::array<std::pair<char, char>, 5> kEscapes = {
            {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'\\', '\\'}, {'"', '"'}}};
        ++at_;
        const char escaped = at_ < text_.size() ? text_[at_] : '\0';
        const auto escape = std::ranges::find(kEscapes, escaped, &std::pair<char, char>::first);
        if (escape == kEscapes.end()) {
          return fail(ErrorCode::kUsage, "the escape \\{} is not supported", printable(std::string(1, escaped)));
        }
        c = escape->second;
      }
      value += c;
    }
    if (at_ >= text_.size() || text_[at_] != quote) {
      return fail(ErrorCode::kUsage, "a text in quotes is not closed");
    }
    ++at_;
    return value;
  }

  std::string_view text_;
  size_t at_;
  bool trims_ = false;
};

// Where the comment ends that begins at `at`; nothing where none begins there. npos: it has no end.
std::optional<size_t> comment_end(std::string_view text, size_t at) {
  if (!text.substr(at).starts_with("/*")) {
    return std::nullopt;
  }
  const size_t end = text.find("*/", at + kDelimiter);
  return end == std::string_view::npos ? end : end + kDelimiter;
}

struct ActionStart {
  size_t inside = 0;  // past {{, a trim marker and white space
  bool trims = false;
};

ActionStart start_of_action(std::string_view text, size_t open) {
  ActionStart start{open + kDelimiter, false};
  const auto at = [&](size_t i) { return i < text.size() ? text[i] : '\0'; };
  if (at(start.inside) == '-' && is_go_space(at(start.inside + 1))) {
    start.trims = true;
    ++start.inside;
    while (is_go_space(at(start.inside))) {
      ++start.inside;
    }
  }
  return start;
}

}  // namespace

std::string go_place(std::string_view text, size_t at) {
  const std::string_view before = text.substr(0, at);
  const size_t line = before.rfind('\n');
  return fmt::format("line {}, column {}", std::ranges::count(before, '\n') + 1,
                     at - (line == std::string_view::npos ? 0 : line + 1) + 1);
}

Result<std::vector<GoPiece>> read_go_pieces(std::string_view text) {
  if (text.size() > kLargestGoTemplate) {
    return fail(ErrorCode::kUsage, "it is larger than {} KiB", kLargestGoTemplate >> 10);
  }
  if (text.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::kUsage, "it has a zero byte");
  }
  std::vector<GoPiece> pieces;
  bool trim_next = false;
  for (size_t at = 0; at < text.size();) {
    const size_t open = std::min(text.find("{{", at), text.size());
    const ActionStart start = start_of_action(text, open);
    std::string_view plain = text.substr(at, open - at);
    if (trim_next) {
      plain.remove_prefix(std::min(plain.find_first_not_of(kGoSpace), plain.size()));
    }
    if (open < text.size() && start.trims) {
      trim_end(plain);
    }
    if (!plain.empty()) {
      pieces.push_back({false, std::string(plain), {}, at});
    }
    if (open == text.size()) {
      break;
    }
    const auto comment = comment_end(text, start.inside);
    ActionLexer lexer(text, comment ? std::min(*comment, text.size()) : start.inside);
    auto tokens = lexer.tokens();
    if (tokens && comment && !tokens->empty()) {
      tokens = fail(ErrorCode::kUsage, "a comment stands alone in its action");
    }
    if (!tokens) {
      return fail(ErrorCode::kUsage, "{}: the action that begins there: {}", go_place(text, open),
                  tokens.error().message);
    }
    if (!comment) {
      pieces.push_back({true, std::string(text.substr(open, lexer.at() - open)), std::move(*tokens), open});
    }
    trim_next = lexer.trims();
    at = lexer.at();
  }
  return pieces;
}

bool is_go_template(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kBlockWords = {"if", "range", "with", "else", "end"};
  for (size_t at = text.find("{{"); at != std::string_view::npos; at = text.find("{{", at + kDelimiter)) {
    std::string_view inside = text.substr(start_of_action(text, at).inside);
    inside.remove_prefix(std::min(inside.find_first_not_of(kGoSpace), inside.size()));
    const size_t end = std::min(inside.find_first_of(" \t\r\n-}"), inside.size());
    if (inside.starts_with('.') || inside.starts_with('$') || inside.starts_with("/*") ||
        std::ranges::find(kBlockWords, inside.substr(0, end)) != kBlockWords.end()) {
      return true;
    }
  }
  return text.find("{%") == std::string_view::npos && text.find("messages") == std::string_view::npos;
}

}  // namespace hypura
