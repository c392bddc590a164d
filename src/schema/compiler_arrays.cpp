// Arrays as grammars.
#include <algorithm>

#include "schema/compiler.h"

namespace hypura::schema {

namespace {

constexpr uint64_t kMostUniqueStates = 20'000;
constexpr uint64_t kMostUnique = 500;

}  // namespace

void Compiler::emit_array(const ArrayShape& shape, Rules::Symbol rule) {
  if (shape.max && *shape.max < shape.min) {
    return;
  }
  const bool several = !shape.max || *shape.max > 1;
  if (shape.unique_of != nullptr && several) {
    if (!emit_unique(shape, rule)) {
      context_.refuse(shape.unique_of, "uniqueItems",
                      "cannot be enforced, unless the elements have few values that are listed");
    }
    return;
  }
  ArrayShape it = shape;
  Terms rest;
  std::vector<Terms> first = elements(shape, rest);
  const bool stated =
      std::any_of(shape.layers.begin(), shape.layers.end(), [](const auto& layer) { return layer->rest; });
  const bool possible =
      std::none_of(first.begin(), first.end(), [&](const Terms& terms) { return expander_.shapes(terms).empty(); });
  if (!first.empty() && !stated && shape.min <= first.size()) {  // a tuple is meant to have these elements, and no more
    it.max = std::min<uint64_t>(first.size(), shape.max.value_or(UINT64_MAX));
    it.min = shape.min == 0 && possible ? *it.max : shape.min;
  }
  if (!add_contained(shape, first, rest)) {
    return;
  }
  for (const Contained& contained : shape.contained) {
    it.min = std::max(it.min, contained.min);
  }
  if (it.max && *it.max < it.min) {
    return;
  }
  if (it.min == 0) {
    rules_.add(rule, {rules_.text("["), rules_.space(), rules_.text("]")});
  }
  if (it.max != 0U) {
    const Rules::Symbol begun = elements_from(first, rest, it);
    rules_.add(rule, {rules_.text("["), rules_.space(), begun, rules_.space(), rules_.text("]")});
  }
}

// What is said of the first elements, and of those after them.
std::vector<Terms> Compiler::elements(const ArrayShape& shape, Terms& rest) {
  size_t places = 0;
  for (const auto& layer : shape.layers) {
    places = std::max(places, layer->first.size());
    rest = layer->rest ? joined(rest, *layer->rest) : rest;
  }
  std::vector<Terms> first(places);
  for (size_t i = 0; i < places; ++i) {
    for (const auto& layer : shape.layers) {
      first[i] = joined(first[i], layer->at(i));
    }
  }
  return first;
}

// The elements that must be there stand at the beginning; as many more as are allowed may be anywhere after them.
bool Compiler::add_contained(const ArrayShape& shape, std::vector<Terms>& first, Terms& rest) {
  if (shape.contained.empty()) {
    return true;
  }
  if (!first.empty()) {
    context_.refuse(shape.contained[0].schema, "contains",
                    "cannot be enforced together with schemas for single elements");
    return false;
  }
  const Terms each = rest;
  for (const Contained& contained : shape.contained) {
    const bool limited = contained.max && *contained.max >= contained.min;
    const uint64_t free = limited ? *contained.max - contained.min : 0;
    if (contained.min + free > kMostUniqueStates || (contained.max && shape.contained.size() > 1)) {
      context_.refuse(contained.schema, contained.max ? "maxContains" : "minContains", "cannot be enforced");
      return false;
    }
    if (contained.max && !limited) {
      context_.refuse(contained.schema, "maxContains", "leaves no value that is allowed");
      return false;
    }
    first.insert(first.end(), contained.min, joined(each, contained.what));
    first.insert(first.end(), free, each);
    if (contained.max) {
      rest = joined(each, {{contained.what[0].schema, true}});
    }
  }
  return true;
}

// All elements, of which there is at least one.
Rules::Symbol Compiler::elements_from(const std::vector<Terms>& first, const Terms& rest, const ArrayShape& shape) {
  const uint64_t most = shape.max.value_or(UINT64_MAX);
  const uint64_t places = std::min<uint64_t>(first.size(), most);
  std::vector<Rules::Symbol> after(places + 1);
  const Rules::Symbol comma = rules_.text(",");
  Rules::Sequence more;
  if (most > places) {
    const Rules::Symbol element = rules_.rule({{comma, rules_.space(), node(rest)}});
    const uint64_t done = std::max<uint64_t>(places, 1);  // the first has no comma before it
    const auto left = [&](uint64_t count) { return count > done ? count - done : 0; };
    more = rules_.repeated(element, left(shape.min), shape.max ? std::optional(left(*shape.max)) : std::nullopt);
  }
  if (places == 0) {
    Rules::Sequence sequence = {node(rest)};
    sequence.insert(sequence.end(), more.begin(), more.end());
    return rules_.rule({std::move(sequence)});
  }
  after[places] = rules_.rule({std::move(more)});
  for (size_t at = places; at-- > 0;) {
    Rules::Sequence sequence = {node(first[at]), after[at + 1]};
    if (at > 0) {
      sequence.insert(sequence.begin(), {comma, rules_.space()});
    }
    after[at] = rules_.rule({std::move(sequence)});
    if (at > 0 && at >= shape.min) {
      rules_.add(after[at], {});
    }
  }
  return after[0];
}

// Elements that all differ, when each is one of a few values: in the order of these, each once at most.
bool Compiler::emit_unique(const ArrayShape& shape, Rules::Symbol rule) {
  Terms rest;
  const std::vector<Terms> first = elements(shape, rest);
  const auto values = first.empty() && shape.contained.empty() ? few_values(rest) : std::nullopt;
  const uint64_t size = values ? values->size() : 0;
  const uint64_t most = std::min(size, shape.max.value_or(size));
  if (!values || size > kMostUnique || size * (most + 1) > kMostUniqueStates) {
    return false;
  }
  // after[i][n]: n elements are there, and the next can be value i or a later one.
  std::vector<std::vector<Rules::Symbol>> after(size + 1, std::vector<Rules::Symbol>(most + 1));
  for (size_t i = size + 1; i-- > 0;) {
    for (uint64_t n = 0; n <= most; ++n) {
      after[i][n] = rules_.rule();
      if (n >= shape.min && (n > 0 || i == 0)) {
        rules_.add(after[i][n], {});
      }
      if (i < size && n < most) {
        const Rules::Symbol value = constants({{(*values)[i]}});
        rules_.add(after[i][n], n == 0 ? Rules::Sequence{value, after[i + 1][n + 1]}
                                       : Rules::Sequence{rules_.text(","), rules_.space(), value, after[i + 1][n + 1]});
        rules_.add(after[i][n], {after[i + 1][n]});
      }
    }
  }
  rules_.add(rule, {rules_.text("["), rules_.space(), after[0][0], rules_.space(), rules_.text("]")});
  return true;
}

std::optional<std::vector<const Json*>> Compiler::few_values(const Terms& terms) {
  static const Json kNamed = Json::array({nullptr, true, false});
  std::vector<const Json*> values;
  for (const Shape& shape : expander_.shapes(terms)) {
    if (const auto* constants = std::get_if<Constants>(&shape)) {
      values.insert(values.end(), constants->values.begin(), constants->values.end());
    } else if (std::holds_alternative<NullShape>(shape)) {
      values.push_back(&kNamed[0]);
    } else if (std::holds_alternative<BooleanShape>(shape)) {
      values.insert(values.end(), {&kNamed[1], &kNamed[2]});
    } else {
      return std::nullopt;
    }
  }
  std::set<std::string> texts;
  std::erase_if(values, [&](const Json* it) { return !texts.insert(canonical(*it)).second; });
  return values;
}

}  // namespace hypura::schema
