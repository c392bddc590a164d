#include "schema/pattern/pattern.h"

#include <algorithm>
#include <map>

#include "schema/pattern/pattern_syntax.h"
#include "support/fail.h"

namespace hypura::schema {

namespace {

using Kind = PatternNode::Kind;

// Two characters that no text has stand before and after it, as often as the expression asks for them: so `^` and `$`
// are characters like others.
constexpr uint32_t kBeginChar = 0x110000;
constexpr uint32_t kEndChar = 0x110001;
const CharSet kAll = {{0, 0xD7FF}, {0xE000, kEndChar}};

constexpr size_t kMostNfaStates = 40000;

// Without determinism: state i has edges over characters, and edges over nothing.
class Nfa {
 public:
  struct State {
    std::vector<std::pair<CharRange, uint32_t>> edges;
    std::vector<uint32_t> free;
  };

  uint32_t add() {
    states_.emplace_back();
    return static_cast<uint32_t>(states_.size() - 1);
  }

  void link(uint32_t from, uint32_t to) { states_[from].free.push_back(to); }
  void link(uint32_t from, const CharSet& chars, uint32_t to) {
    for (const CharRange& range : chars) {
      states_[from].edges.emplace_back(range, to);
    }
  }

  const std::vector<State>& states() const { return states_; }

 private:
  std::vector<State> states_;
};

using StateSet = std::vector<uint32_t>;  // in order

// The automaton of what leads from `start` to `end`.
class Determiniser {
 public:
  Determiniser(const Nfa& nfa, uint32_t end, Work& work)
      : nfa_(nfa), end_(end), work_(work), seen_(nfa.states().size()) {}

  std::optional<Automaton> run(uint32_t start) {
    Automaton made;
    number(closure({start}));
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (i >= kMostStates || work_.spent()) {
        return std::nullopt;
      }
      const StateSet set = sets_[i];
      Automaton::State state;
      state.accepts = std::binary_search(set.begin(), set.end(), end_);
      state.edges = edges(set);
      made.states.push_back(std::move(state));
    }
    return trimmed(made);
  }

 private:
  StateSet closure(StateSet todo) {
    StateSet all;
    ++round_;
    while (!todo.empty()) {
      const uint32_t state = todo.back();
      todo.pop_back();
      if (seen_[state] == round_) {
        continue;
      }
      seen_[state] = round_;
      all.push_back(state);
      work_.spend(1);
      todo.insert(todo.end(), nfa_.states()[state].free.begin(), nfa_.states()[state].free.end());
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  uint32_t number(StateSet set) {
    const auto [it, is_new] = numbers_.try_emplace(std::move(set), static_cast<uint32_t>(sets_.size()));
    if (is_new) {
      sets_.push_back(it->first);
    }
    return it->second;
  }

  std::vector<Automaton::Edge> edges(const StateSet& set) {
    std::vector<std::pair<CharRange, uint32_t>> all;
    std::vector<uint32_t> cuts;  // where another set of edges begins to apply
    for (const uint32_t state : set) {
      for (const auto& edge : nfa_.states()[state].edges) {
        all.push_back(edge);
        cuts.push_back(edge.first.first);
        cuts.push_back(edge.first.last + 1);
      }
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    std::vector<StateSet> targets(cuts.size());
    for (const auto& [range, to] : all) {
      auto i = static_cast<size_t>(std::lower_bound(cuts.begin(), cuts.end(), range.first) - cuts.begin());
      for (; i < cuts.size() && cuts[i] <= range.last && !work_.spent(); ++i) {
        work_.spend(1);
        targets[i].push_back(to);
      }
    }
    std::vector<Automaton::Edge> made;
    for (size_t i = 0; i + 1 < cuts.size() && !work_.spent(); ++i) {
      if (!targets[i].empty()) {
        made.push_back({{cuts[i], cuts[i + 1] - 1}, number(closure(std::move(targets[i])))});
      }
    }
    return made;
  }

  const Nfa& nfa_;
  uint32_t end_;
  Work& work_;
  std::map<StateSet, uint32_t> numbers_;
  std::vector<StateSet> sets_;
  std::vector<size_t> seen_;  // in which round of closure() a state was seen
  size_t round_ = 0;
};

// Everything but what `it` accepts, with the two characters that no text has.
Automaton opposite(const Automaton& it) {
  Automaton made = complement(it);
  const auto rest = static_cast<uint32_t>(made.states.size() - 1);
  for (Automaton::State& state : made.states) {
    for (const uint32_t c : {kBeginChar, kEndChar}) {
      const auto place = std::find_if(state.edges.begin(), state.edges.end(),
                                      [&](const Automaton::Edge& edge) { return edge.chars.last >= c; });
      if (place == state.edges.end() || place->chars.first > c) {
        state.edges.insert(place, {{c, c}, rest});
      }
    }
  }
  return made;
}

// Expressions as automata over texts with the two characters.
class PatternCompiler {
 public:
  explicit PatternCompiler(Work& work) : work_(work) {}

  // What `node` matches, and any text after it; before it, too, when it is `loose`.
  std::optional<Automaton> whole(const PatternNode& node, bool loose) {
    Nfa nfa;
    const uint32_t start = nfa.add();
    const uint32_t end = nfa.add();
    nfa.link(end, kAll, end);
    if (loose) {
      nfa.link(start, kAll, start);
    }
    const uint32_t begin = nfa.add();
    nfa.link(start, begin);
    if (!add(nfa, node, begin, end)) {
      return std::nullopt;
    }
    return Determiniser(nfa, end, work_).run(start);
  }

 private:
  bool add(Nfa& nfa, const PatternNode& node, uint32_t from, uint32_t to) {
    if (nfa.states().size() > kMostNfaStates) {
      return false;
    }
    switch (node.kind) {
      case Kind::kChars:
        nfa.link(from, node.chars, to);
        return true;
      case Kind::kBegin:
        nfa.link(from, CharSet{{kBeginChar, kBeginChar}}, to);
        return true;
      case Kind::kEnd:
        nfa.link(from, CharSet{{kEndChar, kEndChar}}, to);
        return true;
      case Kind::kSequence:
        return add_sequence(nfa, node, from, to);
      case Kind::kAlternatives:
        return std::all_of(node.parts.begin(), node.parts.end(),
                           [&](const PatternNode& part) { return add(nfa, part, from, to); });
      case Kind::kRepeat:
        return add_repeat(nfa, node, from, to);
      case Kind::kAhead:
        break;  // part of a sequence always
    }
    return false;
  }

  bool add_sequence(Nfa& nfa, const PatternNode& node, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < node.parts.size(); ++i) {
      if (node.parts[i].kind == Kind::kAhead) {
        PatternNode rest;
        rest.parts.assign(node.parts.begin() + static_cast<std::ptrdiff_t>(i) + 1, node.parts.end());
        return add_ahead(nfa, node.parts[i], rest, from, to);
      }
      const uint32_t next = nfa.add();
      if (!add(nfa, node.parts[i], from, next)) {
        return false;
      }
      from = next;
    }
    nfa.link(from, to);
    return true;
  }

  // What begins as `ahead` says, and as `rest`, with all the text after it.
  bool add_ahead(Nfa& nfa, const PatternNode& ahead, const PatternNode& rest, uint32_t from, uint32_t to) {
    const auto wanted = whole(ahead.parts[0], false);
    const auto after = wanted ? whole(rest, false) : std::nullopt;
    const auto both = after ? intersection(ahead.negated ? opposite(*wanted) : *wanted, *after) : std::nullopt;
    if (!both) {
      return false;
    }
    const auto first = static_cast<uint32_t>(nfa.states().size());
    for (size_t i = 0; i < both->states.size(); ++i) {
      nfa.add();
    }
    for (uint32_t i = 0; i < both->states.size(); ++i) {
      for (const Automaton::Edge& edge : both->states[i].edges) {
        nfa.link(first + i, CharSet{edge.chars}, first + edge.to);
      }
      if (both->states[i].accepts) {
        nfa.link(first + i, to);
      }
    }
    nfa.link(from, first);
    return nfa.states().size() <= kMostNfaStates;
  }

  bool add_repeat(Nfa& nfa, const PatternNode& node, uint32_t from, uint32_t to) {
    const PatternNode& part = node.parts[0];
    const uint32_t copies = node.max == kNoLimit ? node.min : node.max;
    for (uint32_t i = 0; i < copies; ++i) {
      if (i >= node.min) {
        nfa.link(from, to);
      }
      const uint32_t next = nfa.add();
      if (!add(nfa, part, from, next)) {
        return false;
      }
      from = next;
    }
    if (node.max == kNoLimit) {
      const uint32_t loop = nfa.add();  // a state of its own, so that nothing else leads back here
      nfa.link(from, loop);
      from = loop;
      const uint32_t next = nfa.add();
      if (!add(nfa, part, loop, next)) {
        return false;
      }
      nfa.link(next, loop);
    }
    nfa.link(from, to);
    return true;
  }

  Work& work_;
};

uint32_t after_many(const Automaton& it, uint32_t state, uint32_t c, bool& dead) {
  for (size_t i = 0; i < it.states.size() && !dead; ++i) {
    const std::vector<Automaton::Edge>& edges = it.states[state].edges;
    const auto edge = std::find_if(edges.begin(), edges.end(), [&](const Automaton::Edge& its) {
      return its.chars.first <= c && c <= its.chars.last;
    });
    dead = edge == edges.end();
    if (dead || edge->to == state) {
      break;
    }
    state = edge->to;
  }
  return state;
}

// The texts themselves: what is accepted with enough of the two characters around it.
Automaton without_marks(const Automaton& marked) {
  Automaton made = marked;
  bool dead = false;
  const uint32_t start = after_many(marked, 0, kBeginChar, dead);
  if (dead) {
    made.states.assign(1, {});
    return made;
  }
  for (uint32_t i = 0; i < made.states.size(); ++i) {
    bool none = false;
    const uint32_t end = after_many(marked, i, kEndChar, none);
    made.states[i].accepts = !none && marked.states[end].accepts;
    std::vector<Automaton::Edge>& edges = made.states[i].edges;
    std::erase_if(edges, [](const Automaton::Edge& edge) { return edge.chars.first >= kBeginChar; });
    if (!edges.empty()) {
      edges.back().chars.last = std::min(edges.back().chars.last, kBeginChar - 1);
    }
  }
  made.states.push_back(made.states[start]);
  std::swap(made.states.front(), made.states.back());
  for (Automaton::State& state : made.states) {
    for (Automaton::Edge& edge : state.edges) {
      edge.to = edge.to == 0 ? static_cast<uint32_t>(made.states.size() - 1) : edge.to;
    }
  }
  return trimmed(made);
}

}  // namespace

Result<Automaton> pattern_automaton(std::string_view pattern, Work& work) {
  auto node = parse_pattern(pattern);
  if (!node) {
    return propagate(node.error());
  }
  const auto marked = PatternCompiler(work).whole(*node, true);
  if (!marked) {
    return fail(ErrorCode::kUsage, "its automaton is too large");
  }
  return without_marks(*marked);
}

}  // namespace hypura::schema
