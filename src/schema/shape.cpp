#include "schema/shape.h"

#include <algorithm>

namespace hypura::schema {

namespace {

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

std::optional<uint64_t> lower(const std::optional<uint64_t>& a, const std::optional<uint64_t>& b) {
  return !a ? b : !b ? a : std::optional(std::min(*a, *b));
}

// The tighter of two bounds; of two lower ones when `is_low`.
std::optional<Bound> tighter(const std::optional<Bound>& a, const std::optional<Bound>& b, bool is_low) {
  if (!a || !b) {
    return a ? a : b;
  }
  const int order = compare(a->value, b->value);
  if (order == 0) {
    return a->open ? a : b;
  }
  return (order > 0) == is_low ? a : b;
}

Shape merge(NumberShape a, const NumberShape& b) {
  a.whole = a.whole || b.whole;
  a.low = tighter(a.low, b.low, true);
  a.high = tighter(a.high, b.high, false);
  if (a.step && b.step) {
    a.step = common_multiples(*a.step, *b.step).value_or(Step{0, 0});
  } else if (b.step) {
    a.step = b.step;
    a.step_of = b.step_of;
  }
  return a;
}

Shape merge(StringShape a, const StringShape& b) {
  a.min = std::max(a.min, b.min);
  a.max = lower(a.max, b.max);
  for (const TextRule& rule : b.rules) {
    if (std::none_of(a.rules.begin(), a.rules.end(), [&](const TextRule& it) { return it.same(rule); })) {
      a.rules.push_back(rule);
    }
  }
  return a;
}

Shape merge(ArrayShape a, const ArrayShape& b) {
  append(a.layers, b.layers);
  append(a.contained, b.contained);
  a.min = std::max(a.min, b.min);
  a.max = lower(a.max, b.max);
  a.unique_of = a.unique_of == nullptr ? b.unique_of : a.unique_of;
  return a;
}

Shape merge(ObjectShape a, const ObjectShape& b) {
  for (const auto& layer : b.layers) {
    if (std::find(a.layers.begin(), a.layers.end(), layer) == a.layers.end()) {
      a.layers.push_back(layer);
    }
  }
  a.required.insert(b.required.begin(), b.required.end());
  append(a.names, b.names);
  if (b.min > a.min) {
    a.min = b.min;
    a.min_of = b.min_of;
  }
  a.max = lower(a.max, b.max);
  return a;
}

bool has_type(const Json& value, const Shape& shape) {
  return (value.is_null() && std::holds_alternative<NullShape>(shape)) ||
         (value.is_boolean() && std::holds_alternative<BooleanShape>(shape)) ||
         (value.is_number() && std::holds_alternative<NumberShape>(shape)) ||
         (value.is_string() && std::holds_alternative<StringShape>(shape)) ||
         (value.is_array() && std::holds_alternative<ArrayShape>(shape)) ||
         (value.is_object() && std::holds_alternative<ObjectShape>(shape));
}

std::optional<Shape> kept(const Constants& constants, const Shape& other) {
  const auto* more = std::get_if<Constants>(&other);
  std::set<std::string> texts;
  for (const Json* value : more == nullptr ? std::vector<const Json*>() : more->values) {
    texts.insert(canonical(*value));
  }
  Constants result;
  std::copy_if(constants.values.begin(), constants.values.end(), std::back_inserter(result.values),
               [&](const Json* it) { return more != nullptr ? texts.contains(canonical(*it)) : has_type(*it, other); });
  return result.values.empty() ? std::nullopt : std::optional<Shape>(std::move(result));
}

}  // namespace

Terms joined(const Terms& a, const Terms& b) {
  Terms all;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all));
  return all;
}

const Terms& ItemLayer::at(size_t i) const {
  static const Terms kAnything;
  return i < first.size() ? first[i] : rest ? *rest : kAnything;
}

void PropertyLayer::add(const std::string& name, Terms what) {
  if (named.emplace(name, std::move(what)).second) {
    order.push_back(name);
  }
}

Shapes anything() {
  return {NullShape{}, BooleanShape{}, NumberShape{}, StringShape{}, ArrayShape{}, ObjectShape{}};
}

std::string canonical(const Json& value) {
  if (value.is_number()) {
    const auto number = decimal(value);
    return number ? (number->negative ? "-" : "") + number->whole + "." + number->fraction : value.dump();
  }
  if (!value.is_structured()) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  std::string text = value.is_array() ? "[" : "{";
  std::map<std::string, std::string> members;
  for (const auto& [key, item] : value.items()) {
    if (value.is_array()) {
      text += canonical(item) + ",";
    } else {
      members[canonical(Json(key))] = canonical(item);
    }
  }
  for (const auto& [key, item] : members) {
    text += key + ":" + item + ",";
  }
  return text + (value.is_array() ? "]" : "}");
}

uint64_t weight(const Shape& shape) {
  const auto* object = std::get_if<ObjectShape>(&shape);
  const auto* constants = std::get_if<Constants>(&shape);
  return 8 + (object == nullptr ? 0 : object->layers.size() + object->required.size()) +
         (constants == nullptr ? 0 : constants->values.size());
}

std::optional<Shape> both(const Shape& a, const Shape& b) {
  if (const auto* constants = std::get_if<Constants>(&a)) {
    return kept(*constants, b);
  }
  if (const auto* constants = std::get_if<Constants>(&b)) {
    return kept(*constants, a);
  }
  if (a.index() != b.index()) {
    return std::nullopt;
  }
  return std::visit(
      [&](const auto& one) -> std::optional<Shape> {
        using T = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<T, NullShape> || std::is_same_v<T, BooleanShape> || std::is_same_v<T, Constants>) {
          return one;
        } else {
          return merge(one, std::get<T>(b));
        }
      },
      a);
}

}  // namespace hypura::schema
