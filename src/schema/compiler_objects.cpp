// Objects as grammars: members come in the order in which the schema names them, and those that it does not name last.
#include <algorithm>

#include "schema/compiler.h"

namespace hypura::schema {

namespace {

constexpr size_t kMostMembers = 2000;
constexpr uint64_t kMostCounts = 20'000;
constexpr size_t kMostRegions = 64;
constexpr uint64_t kManyOthers = 64;

}  // namespace

size_t Compiler::Members::next_required(size_t from) const {
  while (from < known.size() && !known[from].required) {
    ++from;
  }
  return from;
}

void Compiler::emit_object(const ObjectShape& shape, Rules::Symbol rule) {
  if (shape.max && *shape.max < std::max<uint64_t>(shape.min, shape.required.size())) {
    return;
  }
  const std::vector<std::string> names = known_names(shape);
  if (names.size() > kMostMembers) {
    context_.refuse(&context_.document().root(), "properties", "are too many to be enforced");
    return;
  }
  Members members;
  for (const std::string& name : names) {
    const Rules::Symbol value = node(expander_.member(shape, name));
    const std::string key = Json(name).dump(-1, ' ', false, Json::error_handler_t::replace) + ":";
    members.known.push_back({rules_.rule({{rules_.text(key), rules_.space(), value}}), shape.required.contains(name)});
  }
  members.others = other_members(shape, names);
  members.min = shape.min > shape.required.size() ? shape.min : 0;
  if (shape.max && (*shape.max < names.size() || !members.others.empty())) {
    members.max = shape.max;
  }
  if (members.max && *members.max >= names.size() + kManyOthers) {  // whichever of the known ones there are
    members.most_others = *members.max - names.size() - 1;          // after the first of them
    members.max.reset();
  }
  members.counted = members.max.value_or(members.min);
  if (members.min > names.size() + (members.others.empty() ? 0 : 1) && !members.others.empty()) {
    context_.refuse(shape.min_of, "minProperties", "cannot be enforced for members that the schema does not name");
    return;
  }
  if ((names.size() + 1) * (std::min(members.counted, kMostCounts) + 1) > kMostCounts) {
    context_.refuse(shape.min_of, members.max ? "maxProperties" : "minProperties",
                    "cannot be enforced: it is too large");
    return;
  }
  if (shape.required.empty() && members.min == 0) {
    rules_.add(rule, {rules_.text("{"), rules_.space(), rules_.text("}")});
  }
  rules_.add(rule, {rules_.text("{"), rules_.space(), begin_members(members), rules_.space(), rules_.text("}")});
}

// The names that are listed anywhere: in "properties", in "required", or as all that "propertyNames" allows.
std::vector<std::string> Compiler::known_names(const ObjectShape& shape) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) {
      names.push_back(name);
    }
  };
  for (const auto& layer : shape.layers) {
    std::for_each(layer->order.begin(), layer->order.end(), add);
  }
  std::for_each(shape.required.begin(), shape.required.end(), add);
  for (const Terms& terms : shape.names) {
    for (const Shape& it : expander_.shapes(terms)) {
      const auto* constants = std::get_if<Constants>(&it);
      for (const Json* value : constants == nullptr ? std::vector<const Json*>() : constants->values) {
        if (value->is_string()) {
          add(value->get<std::string>());
        }
      }
    }
  }
  return names;
}

// Members by what their names match: what their values are is the same within one.
std::vector<Rules::Symbol> Compiler::other_members(const ObjectShape& shape, const std::vector<std::string>& known) {
  const auto any_layer = [&](auto is) { return std::any_of(shape.layers.begin(), shape.layers.end(), is); };
  const bool patterns = any_layer([](const auto& it) { return !it->patterns.empty(); });
  const bool stated = any_layer([](const auto& it) { return it->rest.has_value(); });
  // Where nothing is said of other members, those that are named are meant to be all.
  const bool open = stated || (known.empty() && !patterns) || (!patterns && shape.min > known.size());
  if (!open && !patterns) {
    return {};
  }
  if (known.empty() && !patterns && shape.names.empty()) {
    Terms terms;
    for (const auto& layer : shape.layers) {
      terms = layer->rest ? joined(terms, *layer->rest) : terms;
    }
    return {other_member(rules_.string(), terms)};
  }
  const Json* where = &context_.document().root();
  StringShape unnamed;
  unnamed.rules.push_back({"", known, false, true, where, "properties"});
  std::vector<Region> regions = named_regions(shape, unnamed);
  for (const auto& layer : shape.layers) {
    split(regions, *layer);
  }
  std::vector<Rules::Symbol> others;
  for (const Region& region : regions) {
    if (region.spoken_for || open) {
      others.push_back(other_member(rules_.rule({{rules_.text("\""), rules_.string_rest(region.names)}}), region.what));
    }
  }
  return others;
}

// What "propertyNames" leaves of names that are not known.
std::vector<Compiler::Region> Compiler::named_regions(const ObjectShape& shape, const StringShape& unnamed) {
  Terms terms;
  for (const Terms& names : shape.names) {
    terms = joined(terms, names);
  }
  std::vector<Region> regions;
  for (const Shape& it : terms.empty() ? Shapes{StringShape()} : expander_.shapes(terms)) {
    const auto* strings = std::get_if<StringShape>(&it);
    const auto both_shapes = strings == nullptr ? std::nullopt : both(unnamed, *strings);
    const Automaton* texts = both_shapes ? context_.automaton(std::get<StringShape>(*both_shapes)) : nullptr;
    if (texts != nullptr && !texts->empty()) {
      regions.push_back({*texts, {}, false});
    }
  }
  return regions;
}

// Each region apart by which of a layer's patterns its names match.
void Compiler::split(std::vector<Region>& regions, const PropertyLayer& layer) {
  std::vector<std::pair<Region, bool>> parts;  // and whether a pattern matched
  for (Region& region : regions) {
    parts.emplace_back(std::move(region), false);
  }
  for (const auto& [rule, terms] : layer.patterns) {
    TextRule others = rule;
    others.negated = true;
    const Automaton* with = context_.automaton(rule);
    const Automaton* without = context_.automaton(others);
    std::vector<std::pair<Region, bool>> next;
    for (const auto& [region, matched] : parts) {
      const auto inside = with == nullptr ? std::nullopt : intersection(region.names, *with);
      const auto outside = without == nullptr ? std::nullopt : intersection(region.names, *without);
      if (!inside || !outside || next.size() > kMostRegions) {
        context_.refuse(rule.schema, rule.keyword, "cannot be enforced: there are too many kinds of names");
        return;
      }
      context_.spend(inside->states.size() + outside->states.size());
      if (!inside->empty()) {
        next.push_back({{*inside, joined(region.what, terms), true}, true});
      }
      if (!outside->empty()) {
        next.push_back({{*outside, region.what, region.spoken_for}, matched});
      }
    }
    parts = std::move(next);
  }
  regions.clear();
  for (auto& [region, matched] : parts) {
    if (!matched && layer.rest) {
      region.what = joined(region.what, *layer.rest);
      region.spoken_for = true;
    }
    regions.push_back(std::move(region));
  }
}

Rules::Symbol Compiler::other_member(Rules::Symbol name, const Terms& terms) {
  return rules_.rule({{name, rules_.text(":"), rules_.space(), node(terms)}});
}

// All members, of which there is at least one. What follows a member is made before it is: so no depth of calls
// depends on how many there are.
Rules::Symbol Compiler::begin_members(const Members& members) {
  Followers followers;
  const size_t size = members.known.size();
  followers.after.assign(size + 1, {});
  for (size_t i = size + 1; i-- > 0;) {
    for (uint64_t count = 0; count <= members.counted; ++count) {
      const Rules::Symbol after = rules_.rule();
      if (members.next_required(i) == size && count >= members.min) {
        rules_.add(after, {});
      }
      if (!members.max || count < *members.max) {
        rules_.add(after, {rules_.text(","), rules_.space(), next_member(members, followers, i, count)});
      }
      followers.after[i].push_back(after);
    }
  }
  return next_member(members, followers, 0, 0);
}

// Member i, or any after it up to the first that must be there.
Rules::Symbol Compiler::next_member(const Members& members, Followers& followers, size_t i, uint64_t count) {
  const Rules::Symbol made = rules_.rule();
  const size_t required = members.next_required(i);
  const size_t end = std::min(required + 1, members.known.size());
  while (i < end) {
    size_t size = 1;
    while (i % (2 * size) == 0 && i + 2 * size <= end) {
      size *= 2;
    }
    rules_.add(made, {member_among(members, followers, i, size, count)});
    i += size;
  }
  if (required == members.known.size() && !members.others.empty()) {
    rules_.add(made, others_from(members, count));
  }
  return made;
}

// One of `size` members from `begin`, by halves: llama.cpp calls itself for each rule that begins with another.
Rules::Symbol Compiler::member_among(const Members& members, Followers& followers, size_t begin, size_t size,
                                     uint64_t count) {
  Rules::Symbol& made = followers.among[{begin, size, count}];
  if (made != 0) {
    return made;
  }
  if (size == 1) {
    const uint64_t next = std::min(count + 1, members.counted);
    return made = rules_.rule({{members.known[begin].rule, followers.after[begin + 1][next]}});
  }
  const Rules::Symbol left = member_among(members, followers, begin, size / 2, count);
  const Rules::Symbol right = member_among(members, followers, begin + size / 2, size / 2, count);
  return followers.among[{begin, size, count}] = rules_.rule({{left}, {right}});
}

// Only the first of them is sure to have a name of its own.
Rules::Sequence Compiler::others_from(const Members& members, uint64_t count) {
  if (count + 1 < members.min || (members.max && count >= *members.max)) {
    return {rules_.rule()};
  }
  std::vector<Rules::Sequence> any;
  for (const Rules::Symbol other : members.others) {
    any.push_back({other});
  }
  const Rules::Symbol other = rules_.rule(std::move(any));
  const Rules::Symbol more = rules_.rule({{rules_.text(","), rules_.space(), other}});
  Rules::Sequence sequence = {other};
  const auto left = members.max ? std::optional(*members.max - count - 1) : members.most_others;
  const Rules::Sequence rest = rules_.repeated(more, 0, left);
  sequence.insert(sequence.end(), rest.begin(), rest.end());
  return sequence;
}

}  // namespace hypura::schema
