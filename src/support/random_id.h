// Names that are given out once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hypura {

// `prefix` and so many random letters and digits, 36 kinds. No secret: they can be foreseen. Any thread.
std::string random_id(std::string_view prefix, size_t length = 24);

}  // namespace hypura
