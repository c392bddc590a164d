// Numbers in the files that residency/ writes: little-endian and without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hypura {

// Appends `value` to a string or a vector of bytes.
template <class Bytes, class T>
void put(Bytes& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<typename Bytes::value_type>((value >> (8 * i)) & 0xFF));
  }
}

// Takes the next number off the front of `in`, which must be long enough.
template <class T>
T take(std::string_view& in) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  }
  in.remove_prefix(sizeof(T));
  return static_cast<T>(value);
}

}  // namespace hypura
