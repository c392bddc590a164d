// Go's text/template, the language of Ollama's templates, taken apart into text and the tokens of its actions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"

namespace hypura {

enum class GoKind { kWord, kField, kDot, kVariable, kText, kNumber, kOpen, kClose, kPipe, kDeclare, kAssign, kComma };

struct GoToken {
  GoKind kind = GoKind::kWord;
  std::string text;     // of a field and a variable the name alone; of a text what it stands for
  bool spaced = false;  // white space comes before: ".A .B" is two things, ".A.B" one
};

// Some text, or what stands between {{ and }}. Comments are left out, and white space that trim markers take off.
struct GoPiece {
  bool action = false;
  std::string text;             // as it stands in the template
  std::vector<GoToken> tokens;  // of an action
  size_t at = 0;                // where it begins, in bytes
};

// Fails with kUsage, and the place, on what is no such template or is too large.
Result<std::vector<GoPiece>> read_go_pieces(std::string_view text);

// "line 3, column 5" of a byte.
std::string go_place(std::string_view text, size_t at);

// Whether it is one of Ollama's templates rather than Jinja: it has an action that begins with a field, a variable or a
// word that opens or ends a block; or it has none of Jinja's marks.
bool is_go_template(std::string_view text);

}  // namespace hypura
