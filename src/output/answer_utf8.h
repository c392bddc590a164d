// Text that is UTF-8 whatever a model said.
#pragma once

#include <string>
#include <string_view>

namespace hypura {

// `text` with every byte that is no part of a character replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace hypura
