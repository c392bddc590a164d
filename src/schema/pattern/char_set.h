// Sets of Unicode characters, as ranges.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hypura::schema {

struct CharRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive

  bool operator==(const CharRange&) const = default;
};

// In order, and neither touching nor overlapping.
using CharSet = std::vector<CharRange>;

// Any ranges as a set.
CharSet char_set(std::vector<CharRange> ranges);

// Every character that is not in `set`. Surrogates are no characters.
CharSet complement(const CharSet& set);

CharSet intersection(const CharSet& a, const CharSet& b);

// The characters of valid UTF-8. Bytes that are no UTF-8 become U+FFFD.
std::u32string characters(std::string_view utf8);

// As llama.cpp's grammars write a set that is not empty: "[a-z_]".
std::string grammar_class(const CharSet& set);

}  // namespace hypura::schema
