// Text from files, made safe for where people read it.
#pragma once

#include <string>
#include <string_view>

namespace hypura {

// `text` on one line of a terminal, a log or a page: what a file says must not move the cursor, colour the screen, end
// the line or turn the reading direction. Each character that would, and each byte that is no part of a character,
// becomes '?'.
std::string printable(std::string_view text);

// The same for text of several lines, whose ends stay.
std::string printable_lines(std::string_view text);

}  // namespace hypura
