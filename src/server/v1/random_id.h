// Names for answers and their parts.
#pragma once

#include <string>
#include <string_view>

namespace hypura::v1 {

// `prefix` and 24 random letters and digits. Any thread.
std::string random_id(std::string_view prefix);

}  // namespace hypura::v1
