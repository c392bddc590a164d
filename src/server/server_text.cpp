#include "server/server_text.h"

#include <algorithm>
#include <charconv>

namespace hypura {

std::string_view trimmed(std::string_view text) {
  const size_t first = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(text[i]);
    if (byte == '%') {
      const std::string_view digits = text.substr(i + 1, 2);
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
      if (digits.size() != 2 || read.ptr != digits.data() + 2) {
        return std::nullopt;
      }
      i += 2;
    }
    if (byte < 0x20 || byte == 0x7f) {
      return std::nullopt;
    }
    result += static_cast<char>(byte);
  }
  return result;
}

std::string left_out_note(std::string_view what) {
  return "[" + std::string(what) + " left out: the model reads text only]";
}

}  // namespace hypura
