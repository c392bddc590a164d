// A model and its plan as JSON, for programs.
#pragma once

#include <string>

#include "cli/inspect/facts.h"

namespace hypura {

// One object, indented, with a line end. Its names are described in docs/guide/inspect.md and do not change. Bytes,
// seconds, tokens and shares of 1; a number that is not known is null. Text that is no UTF-8 has its bad bytes
// replaced.
std::string inspect_json(const InspectView& view);

}  // namespace hypura
