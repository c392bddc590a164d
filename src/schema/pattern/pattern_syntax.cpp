#include "schema/pattern/pattern_syntax.h"

#include <algorithm>
#include <optional>

#include "support/fail.h"

namespace hypura::schema {

namespace {

using Kind = PatternNode::Kind;

constexpr int kDeepestGroup = 60;
constexpr int kMostAheads = 20;
constexpr uint32_t kMostRepeats = 1'000'000;

const CharSet kDigits = {{'0', '9'}};
const CharSet kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharSet kSpace = {{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CharSet kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

bool is_digit(char32_t c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::optional<uint32_t> hex_digit(char32_t c) {
  return is_digit(c)            ? std::optional<uint32_t>(c - '0')
         : c >= 'a' && c <= 'f' ? std::optional<uint32_t>(c - 'a' + 10)
         : c >= 'A' && c <= 'F' ? std::optional<uint32_t>(c - 'A' + 10)
                                : std::nullopt;
}

bool is_single(const CharSet& set) {
  return set.size() == 1 && set[0].first == set[0].last;
}

// Recursive descent. The first fault is kept, and everything after it is read to no effect.
class PatternParser {
 public:
  explicit PatternParser(std::string_view pattern) : text_(characters(pattern)) {}

  Result<PatternNode> parse() {
    PatternNode node = alternatives(0);
    if (fault_.empty() && at_ < text_.size()) {
      refuse("it is not a regular expression: a group is closed that was not opened");
    }
    if (!fault_.empty()) {
      return fail(ErrorCode::kUsage, "{}", fault_);
    }
    return node;
  }

 private:
  bool more() const { return fault_.empty() && at_ < text_.size(); }
  char32_t peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : U'\0'; }

  bool take(std::u32string_view expected) {
    const bool there = std::u32string_view(text_).substr(at_, expected.size()) == expected;
    at_ += there ? expected.size() : 0;
    return there;
  }

  void refuse(const char* why) {
    if (fault_.empty()) {
      fault_ = why;
    }
  }

  PatternNode chars(const CharSet& set) {
    PatternNode node;
    node.kind = Kind::kChars;
    node.chars = complement(complement(set));  // surrogates, which an escape may name, are no characters
    return node;
  }

  PatternNode chars(char32_t c) { return chars(CharSet{{c, c}}); }

  PatternNode alternatives(int depth) {
    PatternNode node;
    node.kind = Kind::kAlternatives;
    if (depth > kDeepestGroup) {
      refuse("its groups are nested too deep");
      return node;
    }
    do {
      node.parts.push_back(sequence(depth));
    } while (more() && take(U"|"));
    return node;
  }

  PatternNode sequence(int depth) {
    PatternNode node;
    while (more() && peek() != '|' && peek() != ')') {
      node.parts.push_back(repeated(atom(depth)));
    }
    return node;
  }

  PatternNode repeated(PatternNode atom) {
    PatternNode node;
    node.kind = Kind::kRepeat;
    if (!more() || !quantifier(node)) {
      return atom;
    }
    if (atom.kind == Kind::kBegin || atom.kind == Kind::kEnd || atom.kind == Kind::kAhead) {
      refuse("it repeats something that is not text");
    }
    take(U"?");  // lazy or not, the texts are the same
    node.parts.push_back(std::move(atom));
    PatternNode again;
    if (more() && quantifier(again)) {
      refuse("it is not a regular expression: there is nothing to repeat");
    }
    return node;
  }

  bool quantifier(PatternNode& node) {
    if (take(U"*")) {
      return true;
    }
    if (take(U"+")) {
      node.min = 1;
      return true;
    }
    if (take(U"?")) {
      node.max = 1;
      return true;
    }
    return peek() == '{' && braces(node);
  }

  // "{2}", "{2,}", "{2,5}"; anything else in braces stands for itself.
  bool braces(PatternNode& node) {
    size_t i = at_ + 1;
    const auto number = [&]() -> std::optional<uint32_t> {
      uint32_t value = 0;
      const size_t begin = i;
      for (; i < text_.size() && is_digit(text_[i]); ++i) {
        value = std::min(kMostRepeats, value * 10 + static_cast<uint32_t>(text_[i] - '0'));
      }
      return i > begin ? std::optional(value) : std::nullopt;
    };
    const auto min = number();
    std::optional<uint32_t> max = min;
    if (min && i < text_.size() && text_[i] == ',') {
      ++i;
      max = number().value_or(kNoLimit);
    }
    if (!min || i >= text_.size() || text_[i] != '}') {
      return false;
    }
    at_ = i + 1;
    node.min = *min;
    node.max = *max;
    if (node.min > node.max) {
      refuse("it is not a regular expression: a repetition's limits are out of order");
    }
    return true;
  }

  PatternNode atom(int depth) {
    PatternNode node;
    if (take(U"(")) {
      return group(depth);
    }
    if (take(U"[")) {
      return chars(brackets());
    }
    if (take(U"^")) {
      node.kind = Kind::kBegin;
      return node;
    }
    if (take(U"$")) {
      node.kind = Kind::kEnd;
      return node;
    }
    if (take(U".")) {
      return chars(complement(kLineEnds));
    }
    if (peek() == '*' || peek() == '+' || peek() == '?') {
      refuse("it is not a regular expression: there is nothing to repeat");
      return node;
    }
    if (take(U"\\")) {
      return escape();
    }
    return chars(text_[at_++]);
  }

  PatternNode group(int depth) {
    PatternNode ahead;
    ahead.kind = Kind::kAhead;
    ahead.negated = peek() == '?' && peek(1) == '!';
    const bool looks_ahead = take(U"?=") || take(U"?!");
    if (!looks_ahead && take(U"?<")) {
      if (peek() == '=' || peek() == '!') {
        refuse("it looks back");
      }
      while (more() && peek() != '>') {
        ++at_;
      }
      if (!take(U">")) {
        refuse("it is not a regular expression: a group's name does not end");
      }
    } else if (!looks_ahead && !take(U"?:") && peek() == '?') {
      refuse("it has a kind of group that is not known");
    }
    PatternNode inner = alternatives(depth + 1);
    if (!take(U")")) {
      refuse("it is not a regular expression: a group is not closed");
    }
    if (!looks_ahead) {
      return inner;
    }
    if (depth > 0) {
      refuse("it looks ahead within a group");
    } else if (++aheads_ > kMostAheads) {
      refuse("it looks ahead too often");
    }
    ahead.parts.push_back(std::move(inner));
    return ahead;
  }

  // After a backslash, outside of brackets.
  PatternNode escape() {
    if (is_digit(peek()) && peek() != '0') {
      refuse("it refers back to a group");
    } else if (peek() == 'b' || peek() == 'B') {
      refuse("it looks for the bounds of words");
    } else if (peek() == 'k') {
      refuse("it refers back to a group");
    }
    return chars(escaped_chars());
  }

  // What a backslash and what follows it stand for.
  CharSet escaped_chars() {
    if (at_ >= text_.size()) {
      refuse("it is not a regular expression: it ends in a backslash");
      return {};
    }
    const char32_t c = text_[at_++];
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return complement(kDigits);
      case 'w':
        return kWord;
      case 'W':
        return complement(kWord);
      case 's':
        return kSpace;
      case 'S':
        return complement(kSpace);
      case 'p':
      case 'P':
        refuse("it asks for a Unicode property");
        return {};
      default:
        const uint32_t one = escaped_char(c);
        return CharSet{{one, one}};
    }
  }

  // The one character that a backslash and `c` stand for.
  uint32_t escaped_char(char32_t c) {
    switch (c) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'v':
        return '\v';
      case 'f':
        return '\f';
      case '0':
        return 0;
      case 'c':
        return is_letter(peek()) ? text_[at_++] % 32 : no_char();
      case 'x':
        return hex(2);
      case 'u':
        return unicode();
      default:
        return is_letter(c) || is_digit(c) ? no_char() : c;
    }
  }

  uint32_t no_char() {
    refuse("it has an escape that is not known");
    return 0;
  }

  uint32_t hex(size_t digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const auto digit = hex_digit(peek());
      if (!digit) {
        return no_char();
      }
      value = value * 16 + *digit;
      ++at_;
    }
    return value;
  }

  uint32_t unicode() {
    uint32_t value = 0;
    if (take(U"{")) {
      while (hex_digit(peek()) && value <= 0x10FFFF) {
        value = value * 16 + *hex_digit(text_[at_++]);
      }
      return take(U"}") && value <= 0x10FFFF ? value : no_char();
    }
    value = hex(4);
    if (value >= 0xD800 && value < 0xDC00 && take(U"\\u")) {
      const uint32_t low = hex(4);
      value = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00) : no_char();
    }
    return value;
  }

  // After an opening bracket.
  CharSet brackets() {
    const bool negated = take(U"^");
    std::vector<CharRange> ranges;
    while (more() && peek() != ']') {
      CharSet first = bracket_item();
      if (is_single(first) && peek() == '-' && at_ + 1 < text_.size() && peek(1) != ']') {
        ++at_;
        const CharSet last = bracket_item();
        if (!is_single(last)) {  // then the dash stands for itself
          ranges.push_back({'-', '-'});
          ranges.insert(ranges.end(), last.begin(), last.end());
        } else if (last[0].first < first[0].first) {
          refuse("it is not a regular expression: a range of characters is out of order");
        } else {
          first[0].last = last[0].last;
        }
      }
      ranges.insert(ranges.end(), first.begin(), first.end());
    }
    if (!take(U"]")) {
      refuse("it is not a regular expression: a bracket is not closed");
    }
    CharSet set = char_set(std::move(ranges));
    return negated ? complement(set) : set;
  }

  CharSet bracket_item() {
    if (!take(U"\\")) {
      const char32_t c = peek();
      ++at_;
      return CharSet{{c, c}};
    }
    if (take(U"b")) {
      return CharSet{{'\b', '\b'}};
    }
    if (take(U"-")) {
      return CharSet{{'-', '-'}};
    }
    return escaped_chars();
  }

  std::u32string text_;
  size_t at_ = 0;
  int aheads_ = 0;
  std::string fault_;
};

}  // namespace

Result<PatternNode> parse_pattern(std::string_view pattern) {
  return PatternParser(pattern).parse();
}

}  // namespace hypura::schema
