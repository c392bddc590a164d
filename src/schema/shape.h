// What a schema says of values of one type, and what several schemas say together.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "schema/decimal.h"

namespace hypura::schema {

using Json = nlohmann::ordered_json;

// That a value is of a schema, or that it is not. The schema belongs to the document that is read.
struct Term {
  const Json* schema = nullptr;
  bool negated = false;

  bool operator==(const Term&) const = default;
  bool operator<(const Term& other) const {
    return schema == other.schema ? negated < other.negated : std::less<>()(schema, other.schema);
  }
};

// All of them hold. In order, each once; none: anything is allowed.
using Terms = std::vector<Term>;

Terms joined(const Terms& a, const Terms& b);

// These values and no others.
struct Constants {
  std::vector<const Json*> values;
};

struct NullShape {};
struct BooleanShape {};

struct Bound {
  Decimal value;
  bool open = false;  // the value itself is excluded
};

struct NumberShape {
  bool whole = false;
  std::optional<Bound> low;
  std::optional<Bound> high;
  std::optional<Step> step;
  const Json* step_of = nullptr;  // the schema that says so
};

// That a text has a pattern, or is one of some words; or that it does not.
struct TextRule {
  std::string pattern;
  std::vector<std::string> words;
  bool is_pattern = true;
  bool negated = false;
  const Json* schema = nullptr;  // that says so
  const char* keyword = "";

  // Whether both mean the same, whoever says it.
  bool same(const TextRule& other) const {
    return std::tie(pattern, words, is_pattern, negated) ==
           std::tie(other.pattern, other.words, other.is_pattern, other.negated);
  }
};

struct StringShape {
  uint64_t min = 0;  // characters
  std::optional<uint64_t> max;
  std::vector<TextRule> rules;
};

// What one schema says of an array's elements.
struct ItemLayer {
  std::vector<Terms> first;   // of the first ones, in turn
  std::optional<Terms> rest;  // of those after them; none: it says nothing

  const Terms& at(size_t i) const;
};

// That some elements are of `what`.
struct Contained {
  Terms what;
  uint64_t min = 1;
  std::optional<uint64_t> max;
  const Json* schema = nullptr;  // that says so
};

struct ArrayShape {
  std::vector<std::shared_ptr<const ItemLayer>> layers;
  uint64_t min = 0;
  std::optional<uint64_t> max;
  const Json* unique_of = nullptr;  // the schema that says that no two elements are equal
  std::vector<Contained> contained;
};

// What one schema says of an object's members.
struct PropertyLayer {
  std::vector<std::string> order;
  std::map<std::string, Terms> named;
  std::vector<std::pair<TextRule, Terms>> patterns;
  std::optional<Terms> rest;  // of members that are neither; none: it says nothing
  bool evaluates = true;      // for "unevaluatedProperties": what is named here is spoken for

  void add(const std::string& name, Terms what);
};

struct ObjectShape {
  std::vector<std::shared_ptr<const PropertyLayer>> layers;
  std::set<std::string> required;
  uint64_t min = 0;
  std::optional<uint64_t> max;
  std::vector<Terms> names;      // what each member's name is, as a string
  const Json* min_of = nullptr;  // the schema that says min
};

using Shape = std::variant<Constants, NullShape, BooleanShape, NumberShape, StringShape, ArrayShape, ObjectShape>;

// Any one of them holds; none: no value is possible.
using Shapes = std::vector<Shape>;

// One shape of each type, of which anything is allowed.
Shapes anything();

// The same text for values that are equal as JSON Schema means it: 1 is 1.0, and the order of members does not count.
std::string canonical(const Json& value);

// How many parts it has, about.
uint64_t weight(const Shape& shape);

// Both together, of one type. Constants are kept when any value of theirs has the type: whether the values are of the
// other shape is not looked at. None when there can be no such value.
std::optional<Shape> both(const Shape& a, const Shape& b);

}  // namespace hypura::schema
