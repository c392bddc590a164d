#include "llama/tokenizer/spellings.h"

#include <algorithm>

namespace hypura {

Spellings::Spellings(std::vector<std::string> texts) : texts_(std::move(texts)) {
  std::erase_if(texts_, [](const std::string& it) { return it.empty(); });
  std::sort(texts_.begin(), texts_.end());
  texts_.erase(std::unique(texts_.begin(), texts_.end()), texts_.end());
  for (const std::string& text : texts_) {
    begins_[static_cast<uint8_t>(text.front())] = true;
  }
}

// Those that share the characters so far are neighbours, the shortest first.
Spellings::Found Spellings::at_beginning(std::string_view text) const {
  Found found;
  if (text.empty() || !begins_[static_cast<uint8_t>(text.front())]) {
    return found;
  }
  auto begin = texts_.begin();
  auto end = texts_.end();
  for (size_t depth = 0; depth < text.size() && begin != end; ++depth) {
    const auto next = static_cast<uint8_t>(text[depth]);
    const auto has_less = [&](const std::string& it) {
      return it.size() <= depth || static_cast<uint8_t>(it[depth]) < next;
    };
    begin = std::partition_point(begin, end, has_less);
    end = std::partition_point(begin, end,
                               [&](const std::string& it) { return static_cast<uint8_t>(it[depth]) == next; });
    if (begin != end && begin->size() == depth + 1) {
      found.longest = static_cast<size_t>(begin - texts_.begin());
      found.shortest = found.shortest == kNone ? found.longest : found.shortest;
    }
  }
  return found;
}

}  // namespace hypura
