// How often a text has another in it.
#pragma once

#include <cstddef>
#include <string_view>

namespace hypura {

// Places of `part` in `text`, none of which overlap; 0 for an empty `part`. Any thread.
inline size_t occurrences(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = part.empty() ? std::string_view::npos : text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

}  // namespace hypura
