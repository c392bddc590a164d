// A model and its plan in words, for the terminal.
#pragma once

#include <string>

#include "cli/inspect/facts.h"

namespace hypura {

struct TextStyle {
  bool colour = false;   // terminal colours in the map and the headings
  bool tensors = false;  // a line for every tensor at the end
};

// Whether to colour what goes to a terminal or not, given the values of NO_COLOR and TERM (nullptr: not set): not when
// NO_COLOR is set and not empty (https://no-color.org), nor on a terminal that calls itself dumb.
bool wants_colour(bool is_terminal, const char* no_color, const char* term);

// Lines of at most 80 columns, but for names, paths and the list of tensors. Nothing that a file states can move the
// cursor. Ends with a line end.
std::string inspect_text(const InspectView& view, const TextStyle& style);

}  // namespace hypura
