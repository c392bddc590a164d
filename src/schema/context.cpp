#include "schema/context.h"

#include <fmt/format.h>

#include <algorithm>

#include "schema/pattern/pattern.h"

namespace hypura::schema {

namespace {

constexpr uint64_t kLeastLength = 256;
constexpr size_t kMostShown = 300;  // bytes

std::string key_of(const TextRule& rule) {
  std::string key = rule.negated ? "!" : "=";
  key += rule.is_pattern ? "/" + rule.pattern : "";
  for (const std::string& word : rule.words) {
    key += fmt::format("{}:{}", word.size(), word);
  }
  return key;
}

uint64_t edges_of(const Automaton& it) {
  uint64_t edges = it.states.size();
  for (const Automaton::State& state : it.states) {
    edges += state.edges.size();
  }
  return edges;
}

}  // namespace

std::string in_short(std::string_view text) {
  std::string made(text.substr(0, kMostShown));
  while (made.size() < text.size() && !made.empty() && (static_cast<uint8_t>(text[made.size()]) & 0xC0) == 0x80) {
    made.pop_back();
  }
  std::replace_if(
      made.begin(), made.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7F; }, ' ');
  return made + (made.size() < text.size() ? "…" : "");
}

void Context::refuse(const Json* at, std::string_view keyword, std::string_view why) {
  if (fault_) {
    return;
  }
  const std::string path = in_short(document_.path(at));
  fault_ =
      Fault{std::string(keyword), fmt::format("JSON schema: {}{}{} {}", path, path.empty() ? "" : ": ",
                                              keyword.empty() ? "it" : fmt::format("\"{}\"", keyword), in_short(why))};
}

bool Context::spend(uint64_t steps) {
  work_.spend(steps);
  if (work_.spent()) {
    refuse(&document_.root(), "", "is too large, or combines too much, to be enforced");
  }
  return !failed();
}

const Automaton* Context::keep(const std::string& key, std::optional<Automaton> made, const TextRule& rule) {
  if (!made) {
    refuse(rule.schema, rule.keyword, "cannot be enforced: what it allows is too large to be followed");
    return nullptr;
  }
  return spend(edges_of(*made)) ? &automata_.emplace(key, std::move(*made)).first->second : nullptr;
}

const Automaton* Context::automaton(const TextRule& rule) {
  const std::string key = key_of(rule);
  if (const auto found = automata_.find(key); found != automata_.end()) {
    return &found->second;
  }
  std::optional<Automaton> made;
  if (rule.is_pattern) {
    auto read = pattern_automaton(rule.pattern, work_);
    if (!read) {
      refuse(rule.schema, rule.keyword, "cannot be enforced: " + read.error().message);
      return nullptr;
    }
    made = std::move(*read);
  } else {
    made = automaton_of(rule.words);
  }
  if (made && rule.negated) {
    made = complement(*made);
  }
  return keep(key, std::move(made), rule);
}

const Automaton* Context::automaton(const StringShape& shape) {
  std::string key = fmt::format("{}-{}", shape.min, shape.max ? std::to_string(*shape.max) : "");
  for (const TextRule& rule : shape.rules) {
    key += key_of(rule);
  }
  if (const auto found = automata_.find(key); found != automata_.end()) {
    return &found->second;
  }
  const TextRule& last = shape.rules.back();
  const Automaton* all = automaton(shape.rules.front());
  std::string so_far = all == nullptr ? "" : key_of(shape.rules.front());
  for (size_t i = 1; all != nullptr && i < shape.rules.size(); ++i) {
    const Automaton* more = automaton(shape.rules[i]);
    so_far += "&" + key_of(shape.rules[i]);
    all = more == nullptr ? nullptr : keep(so_far, intersection(*all, *more), shape.rules[i]);
  }
  if (all == nullptr) {
    return nullptr;
  }
  if (shape.min == 0 && !shape.max) {
    return keep(key, *all, last);
  }
  auto made = with_length(*all, shape.min, shape.max);
  const uint64_t fits = kMostStates / (2 * all->states.size());
  if (!made && spend(kMostStates) && shape.max && fits >= std::max(shape.min, kLeastLength)) {
    made = with_length(*all, shape.min, fits);  // shorter texts than are allowed are allowed, too
  }
  return keep(key, std::move(made), last);
}

}  // namespace hypura::schema
