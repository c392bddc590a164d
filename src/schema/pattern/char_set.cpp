#include "schema/pattern/char_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace hypura::schema {

namespace {

constexpr uint32_t kLast = 0x10FFFF;
constexpr CharRange kSurrogates = {0xD800, 0xDFFF};
constexpr char32_t kReplacement = 0xFFFD;

std::string class_char(uint32_t c) {
  const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  if (plain) {
    return std::string(1, static_cast<char>(c));
  }
  return c <= 0xFF     ? fmt::format("\\x{:02X}", c)
         : c <= 0xFFFF ? fmt::format("\\u{:04X}", c)
                       : fmt::format("\\U{:08X}", c);
}

// How many bytes a character has that begins with `lead`; 0 when none does.
size_t length_by_lead(uint8_t lead) {
  return lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
}

}  // namespace

CharSet char_set(std::vector<CharRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const CharRange& a, const CharRange& b) { return a.first < b.first; });
  CharSet set;
  for (const CharRange& range : ranges) {
    if (!set.empty() && range.first <= set.back().last + 1) {
      set.back().last = std::max(set.back().last, range.last);
    } else {
      set.push_back(range);
    }
  }
  return set;
}

CharSet complement(const CharSet& set) {
  std::vector<CharRange> taken = set;
  taken.push_back(kSurrogates);
  CharSet rest;
  uint32_t next = 0;
  for (const CharRange& range : char_set(std::move(taken))) {
    if (range.first > next) {
      rest.push_back({next, range.first - 1});
    }
    next = range.last + 1;
  }
  if (next <= kLast) {
    rest.push_back({next, kLast});
  }
  return rest;
}

CharSet intersection(const CharSet& a, const CharSet& b) {
  CharSet both;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint32_t first = std::max(a[i].first, b[j].first);
    const uint32_t last = std::min(a[i].last, b[j].last);
    if (first <= last) {
      both.push_back({first, last});
    }
    (a[i].last < b[j].last ? i : j) += 1;
  }
  return both;
}

std::u32string characters(std::string_view utf8) {
  static constexpr std::array<uint8_t, 5> kLeadBits = {0, 0x7F, 0x1F, 0x0F, 0x07};
  std::u32string text;
  while (!utf8.empty()) {
    const auto lead = static_cast<uint8_t>(utf8[0]);
    const size_t length = length_by_lead(lead);
    char32_t c = lead & kLeadBits[length];
    bool whole = length > 0 && length <= utf8.size();
    for (size_t i = 1; whole && i < length; ++i) {
      const auto byte = static_cast<uint8_t>(utf8[i]);
      whole = (byte & 0xC0) == 0x80;
      c = c << 6 | (byte & 0x3FU);
    }
    text += whole ? c : kReplacement;
    utf8.remove_prefix(whole ? length : 1);
  }
  return text;
}

std::string grammar_class(const CharSet& set) {
  std::string text = "[";
  for (const CharRange& range : set) {
    text += class_char(range.first);
    if (range.last > range.first) {
      text += "-" + class_char(range.last);
    }
  }
  return text + "]";
}

}  // namespace hypura::schema
