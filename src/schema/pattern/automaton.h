// Deterministic automata over characters: the languages of strings that a schema's patterns, formats and names allow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schema/pattern/char_set.h"

namespace hypura::schema {

// State 0 is the start. A character without an edge is not allowed.
struct Automaton {
  struct Edge {
    CharRange chars;
    uint32_t to = 0;
  };
  struct State {
    std::vector<Edge> edges;  // in order of their characters, which do not overlap
    bool accepts = false;
  };

  std::vector<State> states;

  bool accepts(std::string_view utf8) const;

  // Whether it accepts nothing.
  bool empty() const;
};

// More states than this are not made: the functions below then give none.
inline constexpr size_t kMostStates = 20000;

// Every text that is one of `words`.
std::optional<Automaton> automaton_of(const std::vector<std::string>& words);

// Every text but those that `it` accepts.
Automaton complement(const Automaton& it);

std::optional<Automaton> intersection(const Automaton& a, const Automaton& b);

// The texts of `it` that are `min` to `max` characters long.
std::optional<Automaton> with_length(const Automaton& it, uint64_t min, std::optional<uint64_t> max);

// Without the states from which nothing is accepted; the start stays.
Automaton trimmed(const Automaton& it);

}  // namespace hypura::schema
