#include "schema/validator.h"

#include <algorithm>

#include "schema/keywords.h"

namespace hypura::schema {

namespace {

constexpr int kDeepestCheck = 300;

bool beyond(const Decimal& number, const Bound& bound, bool is_low) {
  const int order = compare(number, bound.value);
  return order == 0 ? bound.open : (order < 0) == is_low;
}

bool any_equal(const Json& array) {
  std::set<std::string> texts;
  return !std::all_of(array.begin(), array.end(), [&](const Json& it) { return texts.insert(canonical(it)).second; });
}

}  // namespace

bool Validator::valid(const Json& value, const Json& schema) {
  Seen seen;
  return check(value, schema, seen) && !context_.failed();
}

bool Validator::valid(const Json& value, const Terms& terms) {
  return std::all_of(terms.begin(), terms.end(), [&](const Term& term) { return valid(value, term); });
}

bool Validator::check(const Json& value, const Json& schema, Seen& seen) {
  if (schema.is_boolean()) {
    return schema.get<bool>();
  }
  if (!schema.is_object()) {
    context_.refuse(&schema, "", "must be a schema: an object, true or false");
    return false;
  }
  if (!context_.spend(1 + schema.size())) {
    return false;
  }
  if (depth_ >= kDeepestCheck) {
    context_.refuse(&schema, "", "leads back to itself, or through too many schemas");
    return false;
  }
  ++depth_;
  Seen mine;
  const bool good = check_type(value, schema) && check_number(value, schema) && check_string(value, schema) &&
                    check_array(value, schema, mine) && check_object(value, schema, mine) &&
                    check_combined(value, schema, mine) && check_branches(value, schema, mine) &&
                    check_dependencies(value, schema, mine) && check_unseen(value, schema, mine);
  --depth_;
  if (good) {
    seen.members.merge(mine.members);
    seen.elements.merge(mine.elements);
  }
  return good;
}

bool Validator::check_type(const Json& value, const Json& schema) {
  const Keywords words(context_, schema);
  if (const auto types = words.types()) {
    const bool whole =
        value.is_number() && (value.is_number_integer() || decimal(value).value_or(Decimal()).fraction.empty());
    const bool good = (value.is_null() && types->has("null")) || (value.is_boolean() && types->has("boolean")) ||
                      (value.is_number() && types->has("number")) || (whole && types->has("integer")) ||
                      (value.is_string() && types->has("string")) || (value.is_array() && types->has("array")) ||
                      (value.is_object() && types->has("object"));
    if (!good) {
      return false;
    }
  }
  if (const Json* only = words.find("const"); only != nullptr && canonical(value) != canonical(*only)) {
    return false;
  }
  const Json* listed = words.array("enum");
  return listed == nullptr || texts_of(*listed).contains(canonical(value));
}

const std::set<std::string>& Validator::texts_of(const Json& values) {
  const auto [it, is_new] = texts_of_.try_emplace(&values);
  for (size_t i = 0; is_new && i < values.size(); ++i) {
    it->second.insert(canonical(values[i]));
  }
  return it->second;
}

bool Validator::check_number(const Json& value, const Json& schema) {
  const auto number = value.is_number() ? decimal(value) : std::nullopt;
  if (!number) {
    return true;
  }
  const Keywords words(context_, schema);
  const auto low = words.low();
  const auto high = words.high();
  const auto step = words.step();
  return !(low && beyond(*number, *low, true)) && !(high && beyond(*number, *high, false)) &&
         !(step && !step->divides(*number));
}

bool Validator::check_string(const Json& value, const Json& schema) {
  if (!value.is_string()) {
    return true;
  }
  const Keywords words(context_, schema);
  const auto& text = value.get_ref<const std::string&>();
  const size_t length = characters(text).size();
  if (length < words.count("minLength").value_or(0) || length > words.count("maxLength").value_or(length)) {
    return false;
  }
  const std::vector<TextRule> rules = words.text_rules();
  return std::all_of(rules.begin(), rules.end(), [&](const TextRule& rule) {
    const Automaton* texts = context_.automaton(rule);
    return texts != nullptr && texts->accepts(text);
  });
}

bool Validator::check_array(const Json& value, const Json& schema, Seen& seen) {
  if (!value.is_array()) {
    return true;
  }
  const Keywords words(context_, schema);
  const size_t size = value.size();
  if (size < words.count("minItems").value_or(0) || size > words.count("maxItems").value_or(size) ||
      (words.flag("uniqueItems").value_or(false) && any_equal(value))) {
    return false;
  }
  const auto layer = words.items();
  for (size_t i = 0; layer && i < size; ++i) {
    if (!valid(value[i], layer->at(i))) {
      return false;
    }
    if (layer->rest || i < layer->first.size()) {
      seen.elements.insert(i);
    }
  }
  return check_contains(value, schema, seen);
}

bool Validator::check_contains(const Json& value, const Json& schema, Seen& seen) {
  const Keywords words(context_, schema);
  const Json* contained = words.subschema("contains");
  if (contained == nullptr) {
    return true;
  }
  size_t found = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    if (valid(value[i], *contained)) {
      seen.elements.insert(i);
      ++found;
    }
  }
  return found >= words.count("minContains").value_or(1) && found <= words.count("maxContains").value_or(found);
}

bool Validator::check_object(const Json& value, const Json& schema, Seen& seen) {
  if (!value.is_object()) {
    return true;
  }
  const Keywords words(context_, schema);
  const size_t size = value.size();
  if (size < words.count("minProperties").value_or(0) || size > words.count("maxProperties").value_or(size)) {
    return false;
  }
  for (const std::string& name : words.names("required")) {
    if (!value.contains(name)) {
      return false;
    }
  }
  const Json* names = words.subschema("propertyNames");
  for (const auto& [name, member] : value.items()) {
    if ((names != nullptr && !valid(Json(name), *names)) || !check_member(name, member, schema, seen)) {
      return false;
    }
  }
  return true;
}

bool Validator::check_member(const std::string& name, const Json& value, const Json& schema, Seen& seen) {
  const Keywords words(context_, schema);
  bool known = false;
  if (const Json* named = words.object("properties"); named != nullptr && named->contains(name)) {
    known = true;
    if (!valid(value, named->at(name))) {
      return false;
    }
  }
  for (const auto& [pattern, its] : words.members("patternProperties").items()) {
    const Automaton* texts = context_.automaton(TextRule{pattern, {}, true, false, &schema, "patternProperties"});
    if (texts != nullptr && texts->accepts(name)) {
      known = true;
      if (!valid(value, its)) {
        return false;
      }
    }
  }
  const Json* rest = words.subschema("additionalProperties");
  if (known || rest != nullptr) {
    seen.members.insert(name);
  }
  return known || rest == nullptr || valid(value, *rest);
}

bool Validator::check_dependencies(const Json& value, const Json& schema, Seen& seen) {
  if (!value.is_object()) {
    return true;
  }
  const Keywords words(context_, schema);
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    const Json* all = words.object(keyword);
    if (all == nullptr) {
      continue;
    }
    for (const auto& [name, wanted] : all->items()) {
      if (!value.contains(name)) {
        continue;
      }
      const bool good =
          wanted.is_array()
              ? std::all_of(wanted.begin(), wanted.end(),
                            [&](const Json& it) { return it.is_string() && value.contains(it.get<std::string>()); })
              : check(value, wanted, seen);
      if (!good) {
        return false;
      }
    }
  }
  return true;
}

bool Validator::check_combined(const Json& value, const Json& schema, Seen& seen) {
  const Keywords words(context_, schema);
  for (const char* keyword : {"$ref", "$recursiveRef", "$dynamicRef"}) {
    const auto reference = words.text(keyword);
    const Json* target = reference ? context_.document().resolve(&schema, *reference) : nullptr;
    if (reference && target == nullptr) {
      words.refuse(keyword, "cannot be followed: \"" + *reference + "\" is not in the schema");
      return false;
    }
    if (target != nullptr && !check(value, *target, seen)) {
      return false;
    }
  }
  const Json* all = words.array("allOf");
  if (all != nullptr &&
      !std::all_of(all->begin(), all->end(), [&](const Json& it) { return check(value, it, seen); })) {
    return false;
  }
  const Json* never = words.subschema("not");
  Seen unused;
  return never == nullptr || !check(value, *never, unused);
}

bool Validator::check_branches(const Json& value, const Json& schema, Seen& seen) {
  const Keywords words(context_, schema);
  for (const char* keyword : {"anyOf", "oneOf"}) {
    const Json* branches = words.array(keyword);
    if (branches == nullptr) {
      continue;
    }
    const auto count =
        std::count_if(branches->begin(), branches->end(), [&](const Json& it) { return check(value, it, seen); });
    if (count == 0 || (count > 1 && std::string_view(keyword) == "oneOf")) {
      return false;
    }
  }
  if (const Json* condition = words.subschema("if")) {
    const Json* then = words.subschema(check(value, *condition, seen) ? "then" : "else");
    return then == nullptr || check(value, *then, seen);
  }
  return true;
}

bool Validator::check_unseen(const Json& value, const Json& schema, Seen& seen) {
  const Keywords words(context_, schema);
  const Json* members = words.subschema("unevaluatedProperties");
  if (members != nullptr && value.is_object()) {
    for (const auto& [name, member] : value.items()) {
      if (!seen.members.contains(name) && !valid(member, *members)) {
        return false;
      }
      seen.members.insert(name);
    }
  }
  const Json* elements = words.subschema("unevaluatedItems");
  for (size_t i = 0; elements != nullptr && value.is_array() && i < value.size(); ++i) {
    if (!seen.elements.contains(i) && !valid(value[i], *elements)) {
      return false;
    }
    seen.elements.insert(i);
  }
  return true;
}

}  // namespace hypura::schema
