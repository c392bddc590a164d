#include "output/text_stream.h"

#include <utility>

namespace hypura {

namespace {

// Length in bytes that the character starting with `lead` has; 1 for bytes that start none.
size_t character_length(unsigned char lead) {
  if (lead >= 0xF0 && lead < 0xF8) {
    return 4;
  }
  if (lead >= 0xE0) {
    return lead < 0xF0 ? 3 : 1;
  }
  return lead >= 0xC2 ? 2 : 1;
}

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

// Number of bytes at the end of `text` that begin a character and do not finish it.
size_t incomplete_tail(std::string_view text) {
  size_t continuations = 0;
  while (continuations < 3 && continuations < text.size() && is_continuation(text[text.size() - 1 - continuations])) {
    ++continuations;
  }
  if (continuations == text.size()) {
    return 0;
  }
  const auto lead = static_cast<unsigned char>(text[text.size() - 1 - continuations]);
  return character_length(lead) > continuations + 1 ? continuations + 1 : 0;
}

}  // namespace

std::string TextStream::add(std::string_view piece) {
  held_ += piece;
  std::string ready = held_.substr(0, held_.size() - incomplete_tail(held_));
  held_.erase(0, ready.size());
  return ready;
}

std::string TextStream::finish() {
  return std::exchange(held_, {});
}

}  // namespace hypura
