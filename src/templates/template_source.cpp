#include "templates/template_source.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/lexer.h"
#include "support/fail.h"

namespace hypura {

namespace {

constexpr size_t kLargestTemplate = size_t{256} << 10;
constexpr size_t kDeepestTemplate = 500;
constexpr size_t kMostMovedBytes = 1'000'000'000;  // the lexer moves the rest of the text for each carriage return

constexpr std::array<std::string_view, 7> kOperators = {"and", "or", "not", "in", "is", "if", "else"};
constexpr std::array<std::string_view, 5> kBlocks = {"if", "for", "macro", "call", "filter"};

template <size_t N>
bool among(const std::array<std::string_view, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// An upper bound of the depth of the tree: operators in a row are within each other, as are brackets and blocks.
class Nesting {
 public:
  void add(const std::vector<jinja::token>& tokens, size_t i) {
    const jinja::token& token = tokens[i];
    switch (token.t) {
      case jinja::token::open_statement:
        begin_statement(tokens, i);
        open(brackets_);
        break;
      case jinja::token::open_expression:
      case jinja::token::open_paren:
      case jinja::token::open_square_bracket:
      case jinja::token::open_curly_bracket:
        open(brackets_);
        break;
      case jinja::token::close_statement:
      case jinja::token::close_expression:
        close(brackets_);
        break;
      case jinja::token::close_paren:
      case jinja::token::close_square_bracket:
      case jinja::token::close_curly_bracket:
        close(brackets_);
        grow(brackets_);  // another call or index may follow
        break;
      case jinja::token::comma:
        sum_ -= std::exchange(brackets_.back(), 0);
        break;
      case jinja::token::identifier:
        if (among(kOperators, token.value)) {
          grow(brackets_);
        }
        break;
      case jinja::token::text:
      case jinja::token::comment:
      case jinja::token::string_literal:
      case jinja::token::numeric_literal:
        break;
      default:
        grow(brackets_);
    }
  }

  size_t deepest() const { return deepest_; }

 private:
  void begin_statement(const std::vector<jinja::token>& tokens, size_t i) {
    const std::string name = i + 1 < tokens.size() ? tokens[i + 1].value : "";
    if (among(kBlocks, name) || (name == "set" && !assigns(tokens, i))) {
      open(blocks_);
    } else if (name == "elif") {
      grow(blocks_);
    } else if (name.starts_with("end")) {
      close(blocks_);
    }
  }

  static bool assigns(const std::vector<jinja::token>& tokens, size_t i) {
    for (; i < tokens.size() && tokens[i].t != jinja::token::close_statement; ++i) {
      if (tokens[i].t == jinja::token::equals) {
        return true;
      }
    }
    return false;
  }

  void open(std::vector<size_t>& levels) {
    levels.push_back(0);
    deepest_ = std::max(deepest_, ++sum_);
  }

  void close(std::vector<size_t>& levels) {
    if (levels.size() > 1) {
      sum_ -= 1 + levels.back();
      levels.pop_back();
    }
  }

  void grow(std::vector<size_t>& levels) {
    ++levels.back();
    deepest_ = std::max(deepest_, ++sum_);
  }

  std::vector<size_t> brackets_ = {0};  // operators so far at each level
  std::vector<size_t> blocks_ = {0};    // branches so far
  size_t sum_ = 0;
  size_t deepest_ = 0;
};

}  // namespace

Result<TemplateSource> read_template_source(const std::string& text) {
  if (text.size() > kLargestTemplate) {
    return fail(ErrorCode::kUsage, "it is larger than {} KiB", kLargestTemplate >> 10);
  }
  const auto returns = static_cast<size_t>(std::count(text.begin(), text.end(), '\r'));
  if (returns * text.size() > kMostMovedBytes) {
    return fail(ErrorCode::kUsage, "it has {} carriage returns", returns);
  }
  jinja::lexer_result lexed;
  try {
    lexed = jinja::lexer().tokenize(text);
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUsage, "{}", error.what());
  } catch (...) {  // another C++ library's exceptions, where llama.cpp was built with one
    return fail(ErrorCode::kUsage, "it is not a template");
  }
  TemplateSource source;
  Nesting nesting;
  std::set<std::string_view> names;
  for (size_t i = 0; i < lexed.tokens.size(); ++i) {
    nesting.add(lexed.tokens, i);
    if (lexed.tokens[i].t == jinja::token::identifier) {
      names.insert(lexed.tokens[i].value);
    }
  }
  source.names = names.size();
  source.nesting = nesting.deepest();
  if (source.nesting > kDeepestTemplate) {
    return fail(ErrorCode::kUsage, "it is nested more than {} levels deep", kDeepestTemplate);
  }
  return source;
}

}  // namespace hypura
