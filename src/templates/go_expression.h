// Pipelines of Go templates as expressions of Jinja.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypura/result.h"
#include "templates/go_lexer.h"

namespace hypura {

// The Jinja namespace that holds what a translated template remembers: it can be set from within loops.
inline constexpr std::string_view kGoSpaceName = "go";

// An expression of Jinja, in brackets where it needs them.
struct GoValue {
  enum class Kind {
    kOther,
    kText,  // in any case: it is written as it is, and all else as JSON unless it is text when it comes to that
    kMap,   // whose names and values a loop goes through
    kRoot,  // what Ollama gives the template, whose fields are known
  };
  std::string code;
  Kind kind = Kind::kOther;
};

// What names mean at one place.
struct GoScope {
  bool messages = false;  // the template goes through .Messages; else it is rendered for each turn
  GoValue dot{"", GoValue::Kind::kRoot};
  std::vector<std::pair<std::string, GoValue>> variables;  // later ones hide earlier ones
};

// A text as a literal of Jinja.
std::string jinja_text(std::string_view text);

// Reads pipelines from the tokens of an action.
class GoExpression {
 public:
  GoExpression(const std::vector<GoToken>& tokens, size_t begin, const GoScope& scope)
      : tokens_(tokens), at_(begin), scope_(scope) {}

  // The pipeline that all that is left of the action is. Fails with kUsage, and what is not supported.
  Result<GoValue> whole();

 private:
  Result<GoValue> pipeline(size_t depth);
  Result<GoValue> command(const GoValue* piped, size_t depth);
  Result<GoValue> operand(size_t depth);
  Result<GoValue> bare_operand(size_t depth);
  Result<GoValue> variable(const std::string& name) const;
  bool at_operand() const;

  const std::vector<GoToken>& tokens_;
  size_t at_;
  const GoScope& scope_;
};

// Whether an action says a field's name anywhere.
bool names_field(const std::vector<GoToken>& tokens, std::string_view name);

}  // namespace hypura
