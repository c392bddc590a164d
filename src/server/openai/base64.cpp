#include "server/openai/base64.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>

namespace hypura::openai {

namespace {

std::string bytes_of(const std::vector<float>& vector) {
  constexpr uint32_t kByte = 0xFF;
  std::string bytes;
  bytes.reserve(vector.size() * sizeof(float));
  for (const float value : vector) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (uint32_t shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>((bits >> shift) & kByte);
    }
  }
  return bytes;
}

// Three bytes, or what is left, as four characters.
void append_group(std::string_view bytes, std::string& text) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr uint32_t kSixBits = 0x3F;
  uint32_t group = 0;
  for (size_t i = 0; i < 3; ++i) {
    group = group << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U);
  }
  for (size_t i = 0; i < 4; ++i) {
    text += i <= bytes.size() ? kLetters[(group >> (18 - 6 * i)) & kSixBits] : '=';
  }
}

}  // namespace

std::string floats_to_base64(const std::vector<float>& vector) {
  const std::string bytes = bytes_of(vector);
  const std::string_view view = bytes;
  std::string text;
  text.reserve(bytes.size() / 3 * 4 + 4);
  for (size_t at = 0; at < view.size(); at += 3) {
    append_group(view.substr(at, 3), text);
  }
  return text;
}

}  // namespace hypura::openai
