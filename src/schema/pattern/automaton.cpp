#include "schema/pattern/automaton.h"

#include <algorithm>
#include <map>

namespace hypura::schema {

namespace {

const Automaton::Edge* edge_for(const Automaton::State& state, uint32_t c) {
  const auto found = std::lower_bound(state.edges.begin(), state.edges.end(), c,
                                      [](const Automaton::Edge& edge, uint32_t it) { return edge.chars.last < it; });
  return found == state.edges.end() || c < found->chars.first ? nullptr : &*found;
}

// Which states lead to one that accepts.
std::vector<bool> productive(const Automaton& it) {
  std::vector<std::vector<uint32_t>> from(it.states.size());
  std::vector<uint32_t> todo;
  std::vector<bool> good(it.states.size());
  for (uint32_t i = 0; i < it.states.size(); ++i) {
    for (const Automaton::Edge& edge : it.states[i].edges) {
      from[edge.to].push_back(i);
    }
    if (it.states[i].accepts) {
      good[i] = true;
      todo.push_back(i);
    }
  }
  while (!todo.empty()) {
    const uint32_t state = todo.back();
    todo.pop_back();
    for (const uint32_t before : from[state]) {
      if (!good[before]) {
        good[before] = true;
        todo.push_back(before);
      }
    }
  }
  return good;
}

// The states of a product, numbered as they are reached.
class Numbered {
 public:
  uint32_t number(uint64_t a, uint64_t b) {
    const auto [it, is_new] = numbers_.try_emplace({a, b}, static_cast<uint32_t>(pairs_.size()));
    if (is_new) {
      pairs_.emplace_back(a, b);
    }
    return it->second;
  }

  size_t size() const { return pairs_.size(); }
  std::pair<uint64_t, uint64_t> operator[](size_t i) const { return pairs_[i]; }

 private:
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> numbers_;
  std::vector<std::pair<uint64_t, uint64_t>> pairs_;
};

}  // namespace

bool Automaton::accepts(std::string_view utf8) const {
  uint32_t state = 0;
  for (const char32_t c : characters(utf8)) {
    const Edge* edge = edge_for(states[state], c);
    if (edge == nullptr) {
      return false;
    }
    state = edge->to;
  }
  return states[state].accepts;
}

bool Automaton::empty() const {
  return !productive(*this)[0];
}

std::optional<Automaton> automaton_of(const std::vector<std::string>& words) {
  Automaton made;
  made.states.emplace_back();
  for (const std::string& word : words) {
    uint32_t state = 0;
    for (const char32_t c : characters(word)) {
      if (const Automaton::Edge* edge = edge_for(made.states[state], c)) {
        state = edge->to;
        continue;
      }
      if (made.states.size() >= kMostStates) {
        return std::nullopt;
      }
      std::vector<Automaton::Edge>& edges = made.states[state].edges;
      const auto to = static_cast<uint32_t>(made.states.size());
      const auto place =
          std::find_if(edges.begin(), edges.end(), [&](const Automaton::Edge& it) { return it.chars.first > c; });
      edges.insert(place, {{c, c}, to});
      made.states.emplace_back();
      state = to;
    }
    made.states[state].accepts = true;
  }
  return made;
}

Automaton complement(const Automaton& it) {
  Automaton made = it;
  const auto rest = static_cast<uint32_t>(made.states.size());
  made.states.emplace_back();  // what `it` has no edge for
  for (Automaton::State& state : made.states) {
    state.accepts = !state.accepts;
    std::vector<CharRange> taken;
    for (const Automaton::Edge& edge : state.edges) {
      taken.push_back(edge.chars);
    }
    for (const CharRange& chars : complement(char_set(std::move(taken)))) {
      state.edges.push_back({chars, rest});
    }
    std::sort(state.edges.begin(), state.edges.end(),
              [](const Automaton::Edge& a, const Automaton::Edge& b) { return a.chars.first < b.chars.first; });
  }
  return made;
}

std::optional<Automaton> intersection(const Automaton& a, const Automaton& b) {
  Automaton made;
  Numbered pairs;
  pairs.number(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i >= kMostStates) {
      return std::nullopt;
    }
    const Automaton::State& left = a.states[pairs[i].first];
    const Automaton::State& right = b.states[pairs[i].second];
    Automaton::State state;
    state.accepts = left.accepts && right.accepts;
    for (size_t j = 0, k = 0; j < left.edges.size() && k < right.edges.size();) {
      const Automaton::Edge& one = left.edges[j];
      const Automaton::Edge& other = right.edges[k];
      const CharRange both = {std::max(one.chars.first, other.chars.first), std::min(one.chars.last, other.chars.last)};
      if (both.first <= both.last) {
        state.edges.push_back({both, pairs.number(one.to, other.to)});
      }
      (one.chars.last < other.chars.last ? j : k) += 1;
    }
    made.states.push_back(std::move(state));
  }
  return trimmed(made);
}

std::optional<Automaton> with_length(const Automaton& it, uint64_t min, std::optional<uint64_t> max) {
  Automaton made;
  Numbered pairs;
  pairs.number(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i >= kMostStates) {
      return std::nullopt;
    }
    const auto [from, length] = pairs[i];
    Automaton::State state;
    state.accepts = it.states[from].accepts && length >= min;
    const uint64_t next = max ? length + 1 : std::min(length + 1, min);
    if (!max || length < *max) {
      for (const Automaton::Edge& edge : it.states[from].edges) {
        state.edges.push_back({edge.chars, pairs.number(edge.to, next)});
      }
    }
    made.states.push_back(std::move(state));
  }
  return trimmed(made);
}

Automaton trimmed(const Automaton& it) {
  const std::vector<bool> good = productive(it);
  std::vector<uint32_t> number(it.states.size());
  uint32_t next = 0;
  for (size_t i = 0; i < it.states.size(); ++i) {
    number[i] = next;
    next += good[i] || i == 0 ? 1 : 0;
  }
  Automaton made;
  for (size_t i = 0; i < it.states.size(); ++i) {
    if (!good[i] && i != 0) {
      continue;
    }
    Automaton::State& state = made.states.emplace_back();
    state.accepts = it.states[i].accepts;
    for (const Automaton::Edge& edge : it.states[i].edges) {
      if (!good[edge.to]) {
        continue;
      }
      const bool follows = !state.edges.empty() && state.edges.back().to == number[edge.to] &&
                           state.edges.back().chars.last + 1 == edge.chars.first;
      if (follows) {
        state.edges.back().chars.last = edge.chars.last;
      } else {
        state.edges.push_back({edge.chars, number[edge.to]});
      }
    }
  }
  return made;
}

}  // namespace hypura::schema
