#include "support/printable.h"

#include <algorithm>
#include <array>

#include "support/utf8.h"

namespace hypura {

namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Control characters; marks, embeddings, overrides and isolates of reading direction; separators of lines and
// paragraphs; what is not seen; tags, which spell text that is not seen.
constexpr std::array kUnsafe = {Range{0x00, 0x1f},      Range{0x7f, 0x9f},     Range{0x061c, 0x061c},
                                Range{0x180e, 0x180e},  Range{0x200b, 0x200f}, Range{0x2028, 0x202e},
                                Range{0x2060, 0x206f},  Range{0xfeff, 0xfeff}, Range{0xfff9, 0xfffb},
                                Range{0xe0000, 0xe007f}};

// `bytes` is one whole character.
char32_t code_point(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(bytes[i])); };
  if (bytes.size() == 1) {
    return byte(0);
  }
  char32_t code = byte(0) & (0xffU >> (bytes.size() + 1));
  for (size_t i = 1; i < bytes.size(); ++i) {
    code = code << 6 | (byte(i) & 0x3fU);
  }
  return code;
}

bool is_safe(char32_t code) {
  return std::none_of(kUnsafe.begin(), kUnsafe.end(),
                      [code](const Range& range) { return range.first <= code && code <= range.last; });
}

std::string without_unsafe(std::string_view text, bool keep_lines) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    const bool ends_line = keep_lines && character == "\n";
    safe += ends_line || (length > 0 && is_safe(code_point(character))) ? character : "?";
    text.remove_prefix(character.size());
  }
  return safe;
}

}  // namespace

std::string printable(std::string_view text) {
  return without_unsafe(text, false);
}

std::string printable_lines(std::string_view text) {
  return without_unsafe(text, true);
}

}  // namespace hypura
