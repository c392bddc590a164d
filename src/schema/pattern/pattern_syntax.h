// The syntax of regular expressions.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "schema/pattern/char_set.h"

namespace hypura::schema {

inline constexpr uint32_t kNoLimit = std::numeric_limits<uint32_t>::max();

struct PatternNode {
  enum class Kind {
    kChars,         // one of `chars`
    kBegin,         // where the text begins
    kEnd,           // where it ends
    kSequence,      // all of `parts`
    kAlternatives,  // one of `parts`
    kRepeat,        // parts[0], min to max times
    kAhead,         // what follows begins with parts[0]; with `negated` it does not
  };

  Kind kind = Kind::kSequence;
  CharSet chars;
  std::vector<PatternNode> parts;
  uint32_t min = 0;
  uint32_t max = kNoLimit;
  bool negated = false;
};

// Fails as pattern_automaton.
Result<PatternNode> parse_pattern(std::string_view pattern);

}  // namespace hypura::schema
