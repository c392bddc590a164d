#include "schema/keywords.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "schema/formats.h"

namespace hypura::schema {

namespace {

constexpr double kMostCount = 1e15;
constexpr std::array<const char*, 7> kTypeNames = {"null", "boolean", "integer", "number", "string", "array", "object"};

bool is_schema(const Json& value) {
  return value.is_object() || value.is_boolean();
}

Terms term(const Json& schema) {
  return schema == true || (schema.is_object() && schema.empty()) ? Terms() : Terms{{&schema, false}};
}

}  // namespace

const Json* Keywords::find(const char* keyword) const {
  const auto found = schema_.find(keyword);
  return found == schema_.end() ? nullptr : &*found;
}

std::optional<uint64_t> Keywords::count(const char* keyword) const {
  const Json* value = find(keyword);
  if (value == nullptr) {
    return std::nullopt;
  }
  const double number = value->is_number() ? value->get<double>() : -1;
  if (number < 0 || number != std::floor(number)) {
    refuse(keyword, "must be a whole number, 0 or more");
    return std::nullopt;
  }
  return static_cast<uint64_t>(std::min(number, kMostCount));
}

std::optional<Decimal> Keywords::number(const char* keyword) const {
  const Json* value = find(keyword);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_number()) {
    refuse(keyword, "must be a number");
    return std::nullopt;
  }
  auto number = decimal(*value);
  if (!number) {
    refuse(keyword, "cannot be enforced: the number has too many digits");
  }
  return number;
}

std::optional<std::string> Keywords::text(const char* keyword) const {
  const Json* value = find(keyword);
  if (value != nullptr && !value->is_string()) {
    refuse(keyword, "must be a string");
  }
  return value != nullptr && value->is_string() ? std::optional(value->get<std::string>()) : std::nullopt;
}

std::optional<bool> Keywords::flag(const char* keyword) const {
  const Json* value = find(keyword);
  if (value != nullptr && !value->is_boolean()) {
    refuse(keyword, "must be true or false");
  }
  return value != nullptr && value->is_boolean() ? std::optional(value->get<bool>()) : std::nullopt;
}

std::vector<std::string> Keywords::names(const char* keyword) const {
  const Json* value = find(keyword);
  std::vector<std::string> names;
  if (value == nullptr) {
    return names;
  }
  const bool good =
      value->is_array() && std::all_of(value->begin(), value->end(), [](const Json& it) { return it.is_string(); });
  if (!good) {
    refuse(keyword, "must be an array of strings");
    return names;
  }
  return value->get<std::vector<std::string>>();
}

const Json* Keywords::subschema(const char* keyword) const {
  const Json* value = find(keyword);
  if (value != nullptr && !is_schema(*value)) {
    refuse(keyword, "must be a schema: an object, true or false");
    return nullptr;
  }
  return value;
}

const Json* Keywords::array(const char* keyword, bool may_be_empty) const {
  const Json* value = find(keyword);
  if (value != nullptr && (!value->is_array() || (value->empty() && !may_be_empty))) {
    refuse(keyword, may_be_empty ? "must be an array" : "must be an array that is not empty");
    return nullptr;
  }
  return value;
}

const Json* Keywords::object(const char* keyword) const {
  const Json* value = find(keyword);
  if (value != nullptr && !value->is_object()) {
    refuse(keyword, "must be an object");
    return nullptr;
  }
  return value;
}

const Json& Keywords::members(const char* keyword) const {
  static const Json kNone = Json::object();
  const Json* value = object(keyword);
  return value == nullptr ? kNone : *value;
}

std::optional<Bound> Keywords::bound(const char* inclusive, const char* exclusive, bool is_low) const {
  std::optional<Bound> made;
  if (const auto value = number(inclusive)) {
    made = Bound{*value, false};
  }
  const Json* open = find(exclusive);
  if (open == nullptr) {
    return made;
  }
  if (open->is_boolean()) {  // draft 4
    if (made) {
      made->open = open->get<bool>();
    }
    return made;
  }
  const auto value = number(exclusive);
  const bool tighter =
      value && (!made || (is_low ? compare(*value, made->value) >= 0 : compare(*value, made->value) <= 0));
  return tighter ? Bound{*value, true} : made;
}

std::optional<Step> Keywords::step() const {
  const auto value = number("multipleOf");
  if (!value) {
    return std::nullopt;
  }
  const auto made = schema::step(*value);
  if (!made) {
    refuse("multipleOf", value->negative || value->is_zero() ? "must be a number above 0"
                                                             : "cannot be enforced: the number has too many digits");
  }
  return made;
}

void Keywords::add_format(const char* keyword, std::vector<TextRule>& rules) const {
  const auto format = text(keyword);
  if (!format || format == "int32" || is_loose_format(*format)) {
    return;
  }
  const std::string* pattern = format_pattern(*format);
  if (pattern == nullptr) {
    refuse(keyword, "cannot be enforced: \"" + *format + "\" is not known");
    return;
  }
  rules.push_back({*pattern, {}, true, false, &schema_, keyword});
}

std::vector<TextRule> Keywords::text_rules() const {
  std::vector<TextRule> rules;
  if (auto pattern = text("pattern")) {
    rules.push_back({std::move(*pattern), {}, true, false, &schema_, "pattern"});
  }
  add_format("format", rules);
  add_format("contentEncoding", rules);
  return rules;
}

std::optional<ItemLayer> Keywords::items() const {
  const Json* items = find("items");
  const bool is_tuple = items != nullptr && items->is_array();
  const Json* first = is_tuple ? items : array("prefixItems", true);
  const Json* rest = is_tuple ? subschema("additionalItems") : subschema("items");
  if (first == nullptr && rest == nullptr) {
    return std::nullopt;
  }
  ItemLayer layer;
  for (size_t i = 0; first != nullptr && i < first->size(); ++i) {
    if (!is_schema((*first)[i])) {
      refuse(is_tuple ? "items" : "prefixItems", "must hold schemas");
    }
    layer.first.push_back(term((*first)[i]));
  }
  if (rest != nullptr) {
    layer.rest = term(*rest);
  }
  return layer;
}

std::optional<Keywords::Types> Keywords::types() const {
  const Json* type = find("type");
  if (type == nullptr) {
    return std::nullopt;
  }
  const bool one = type->is_string();
  Types types;
  if (!one && (!type->is_array() || type->empty())) {
    refuse("type", "must be the name of a type, or an array of such names that is not empty");
    return types;
  }
  for (const Json& name : one ? Json::array({*type}) : *type) {
    const bool known = name.is_string() && std::find(kTypeNames.begin(), kTypeNames.end(), name) != kTypeNames.end();
    if (!known) {
      refuse("type", "must be null, boolean, integer, number, string, array or object, not " +
                         name.dump(-1, ' ', false, Json::error_handler_t::replace));
      continue;
    }
    types.names.insert(name.get<std::string>());
  }
  if (flag("nullable").value_or(false)) {  // OpenAPI 3.0
    types.names.insert("null");
  }
  return types;
}

}  // namespace hypura::schema
