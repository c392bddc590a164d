// For tests: texts, and the entries of them.
#pragma once

#include <numeric>
#include <vector>

#include "kv/kv_entry.h"

namespace hypura {

// `first` and the numbers after it.
inline std::vector<int32_t> counted(uint32_t tokens, int32_t first = 1) {
  std::vector<int32_t> text(tokens);
  std::iota(text.begin(), text.end(), first);
  return text;
}

inline constexpr KvKey kTestIdentity = 7;

// The block or state that ends with the text, of so many bytes that tell what it is of.
inline KvEntry entry_of(const std::vector<int32_t>& text, uint32_t from, size_t bytes = 1000) {
  KvEntry entry{kv_key_after(kTestIdentity, text), from, text, std::vector<uint8_t>(bytes)};
  for (size_t i = 0; i < bytes; ++i) {
    entry.state[i] = static_cast<uint8_t>(static_cast<size_t>(text.back()) * 31 + i);
  }
  return entry;
}

}  // namespace hypura
