#include "output/answer_utf8.h"

#include <cstddef>
#include <cstdint>

namespace hypura {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

uint8_t byte_at(std::string_view text, size_t at) {
  return static_cast<uint8_t>(text[at]);
}

// Bytes of the character that `text` begins with; 0 when it begins with none. RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF.
size_t character_at(std::string_view text) {
  const uint8_t lead = byte_at(text, 0);
  if (lead < 0x80) {
    return 1;
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) {
    return 0;
  }
  uint8_t least = 0x80;
  uint8_t most = 0xBF;
  if (lead == 0xE0) {
    least = 0xA0;
  } else if (lead == 0xED) {
    most = 0x9F;
  } else if (lead == 0xF0) {
    least = 0x90;
  } else if (lead == 0xF4) {
    most = 0x8F;
  }
  if (byte_at(text, 1) < least || byte_at(text, 1) > most) {
    return 0;
  }
  for (size_t i = 2; i < length; ++i) {
    if ((byte_at(text, i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  return length;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = character_at(text);
    valid += length > 0 ? text.substr(0, length) : kReplacement;
    text.remove_prefix(length > 0 ? length : 1);
  }
  return valid;
}

}  // namespace hypura
