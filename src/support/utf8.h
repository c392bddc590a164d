// Characters in UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace hypura {

// How many bytes the character at the front of `text` has; 0 when there is none: what is cut off, too long for what it
// says, or no character counts as none.
size_t utf8_length(std::string_view text);

}  // namespace hypura
