// Regular expressions, as JSON Schema's "pattern" has them, as automata.
#pragma once

#include <string>
#include <string_view>

#include "hypura/result.h"
#include "schema/pattern/automaton.h"
#include "schema/work.h"

namespace hypura::schema {

// The texts in which the ECMAScript expression `pattern` finds a match, anywhere unless it is anchored. Fails with
// kUsage and the bare reason ("it looks back") when it is no expression, its language is not regular, or its automaton
// is too large or `work` is spent.
Result<Automaton> pattern_automaton(std::string_view pattern, Work& work);

}  // namespace hypura::schema
