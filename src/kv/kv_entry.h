// What is kept of a text beyond the context: the keys and values of some of its tokens, and what they are called.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "support/fnv.h"

namespace hypura {

// Tokens of a block. Where a sequence's memory can be cut, entries are blocks that follow each other, and a text loses
// from its first other token on. Where it cannot, an entry has any number of tokens, those after another entry, and the
// state after the last of them; or, from 0 on, all that there is of a sequence.
inline constexpr uint32_t kKvBlockTokens = 256;

// A text's beginning of some length, under one identity: of the model, and of all that keys and values depend on. What
// it names is compared token by token before it is used.
using KvKey = uint64_t;

inline KvKey kv_key_after(KvKey before, std::span<const int32_t> tokens) {
  return fnv1a({reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes()}, before);
}

inline KvKey kv_key_of(std::string_view identity) {
  return fnv1a(identity);
}

// The keys and values of tokens `from` to the end of `tokens`, which are all that come before them too: they depend on
// those.
struct KvEntry {
  KvKey key = 0;  // of `tokens`
  uint32_t from = 0;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> state;  // llama.cpp's form

  uint32_t end() const { return static_cast<uint32_t>(tokens.size()); }
  uint64_t bytes() const { return state.size() + tokens.size() * sizeof(int32_t); }
  bool is_of(std::span<const int32_t> text, uint32_t first) const {
    return from == first && std::ranges::equal(tokens, text);
  }
};

}  // namespace hypura
