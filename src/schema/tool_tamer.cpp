#include "schema/tool_tamer.h"

#include <algorithm>

#include "schema/tool_keywords.h"

namespace hypura::schema {

namespace {

constexpr uint64_t kFirstNumber = 7302914465000000;  // nobody's number
constexpr size_t kMostParts = 2000;                  // of one tool: beyond, anything is allowed
constexpr size_t kMostOptional = 64;                 // llama.cpp makes a rule for each two of them
constexpr size_t kMostReferred = 30;
constexpr int kDeepest = 30;
constexpr size_t kMostBranches = 64;
constexpr size_t kMostValues = 32;
constexpr size_t kMostDropped = 100;

}  // namespace

std::string text_stand_in(size_t i) {
  return "hypura:" + std::to_string(i);
}

uint64_t number_stand_in(size_t i) {
  return kFirstNumber + i;
}

bool may_be_text(const Json& tamed) {
  if (tamed.contains("anyOf")) {
    return std::any_of(tamed["anyOf"].begin(), tamed["anyOf"].end(), may_be_text);
  }
  if (tamed.contains("enum")) {
    return std::any_of(tamed["enum"].begin(), tamed["enum"].end(), [](const Json& it) { return it.is_string(); });
  }
  return tamed.contains("type") && tamed["type"] == "string";
}

ToolTamer::ToolTamer(Json parameters, std::string prefix, MakeLeaf make_leaf, bool keep_limits)
    : document_(std::move(parameters)),
      prefix_(std::move(prefix)),
      make_leaf_(std::move(make_leaf)),
      keep_limits_(keep_limits) {}

ToolTamer::Place ToolTamer::inside_of(const Place& place, const std::string& step) {
  return {place.path + (place.path.empty() ? "" : ".") + step, place.depth + 1, place.inside, false};
}

void ToolTamer::drop(const Place& place, const std::string& keyword) {
  if (dropped_.size() < kMostDropped) {
    dropped_.insert(place.path.empty() ? keyword : place.path + ": " + keyword);
  }
}

Json ToolTamer::tame() {
  const Json& root = document_.root();
  Json free = {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", any_value()}};
  free["required"] = Json::array();
  if (root.is_null()) {
    free.erase("additionalProperties");
    return free;
  }
  const Place place = {"", 0, {&root}};
  if (!root.is_object()) {
    if (root != true) {
      drop(place, type_of(root));
    }
    return free;
  }
  const Json whole = flattened(root, place, 0, true);
  const std::set<std::string> types = types_of(whole, place);
  if (!types.empty() && !types.contains("object")) {
    drop(place, "type");
  }
  note_ignored(whole, place);
  Json tamed = tame_object(whole, place);
  if (!tamed.contains("properties")) {
    tamed["properties"] = Json::object();
    tamed["additionalProperties"] = tamed.value("additionalProperties", any_value());
  }
  if (!tamed.contains("required")) {
    tamed["required"] = Json::array();  // some templates look into it
  }
  for (size_t i = 0; i < referred_.size(); ++i) {
    const Json* target = referred_[i];
    Json definition = tame(*target, {document_.path(target), 0, {target}, true});
    tamed["$defs"][prefix_ + std::to_string(i)] = definition.contains("$ref") ? any_value() : std::move(definition);
  }
  return tamed;
}

Json ToolTamer::tame(const Json& schema, const Place& place) {
  if (++parts_ > kMostParts || place.depth > kDeepest) {
    drop(place, "everything, for its size");
    return any_value();
  }
  if (!schema.is_object()) {
    if (schema != true) {
      drop(place, type_of(schema));
    }
    return any_value();
  }
  if (const auto found = schema.find("$ref"); found != schema.end()) {
    const Json* target = found->is_string() ? document_.resolve(&schema, found->get<std::string>()) : nullptr;
    if (target != nullptr) {
      return reference(target, place);
    }
    drop(place, "$ref");
  }
  note_ignored(schema, place);
  const Json whole = schema.contains("allOf") ? flattened(schema, place, 0, false) : schema;
  Json tamed = tame_types(whole, types_of(whole, place), place);
  if (const auto text = schema.find("description"); text != schema.end() && text->is_string()) {
    tamed["description"] = *text;
  }
  return tamed;
}

// In place, unless it leads back to itself.
Json ToolTamer::reference(const Json* target, const Place& place) {
  Place next = place;
  next.inside.push_back(target);
  ++next.depth;
  if (std::find(place.inside.begin(), place.inside.end(), target) == place.inside.end()) {
    return tame(*target, next);
  }
  auto found = std::find(referred_.begin(), referred_.end(), target);
  if (found == referred_.end()) {
    if (referred_.size() >= kMostReferred) {
      drop(place, "$ref");
      return any_value();
    }
    found = referred_.insert(referred_.end(), target);
  }
  return {{"$ref", "#/$defs/" + prefix_ + std::to_string(found - referred_.begin())}};
}

std::set<std::string> ToolTamer::types_of(const Json& schema, const Place& place) {
  std::set<std::string> types;
  const auto found = schema.find("type");
  if (found == schema.end()) {
    return types;
  }
  for (const Json& type : found->is_array() ? *found : Json::array({*found})) {
    if (std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end()) {
      types.insert(type.get<std::string>());
    } else {
      drop(place, "type");
    }
  }
  const auto nullable = schema.find("nullable");
  if (nullable != schema.end() && *nullable == true && !types.empty()) {
    types.insert("null");
  }
  return types;
}

Json ToolTamer::tame_types(const Json& schema, std::set<std::string> types, const Place& place) {
  const auto has = [&](const char* keyword) { return schema.contains(keyword); };
  if (has("const")) {
    return tame_values(schema, Json::array({schema["const"]}), types, place);
  }
  if (has("enum") && schema["enum"].is_array() && !schema["enum"].empty()) {
    return tame_values(schema, schema["enum"], types, place);
  }
  if (has("enum")) {
    drop(place, "enum");
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (has(keyword) && schema[keyword].is_array() && !schema[keyword].empty() && !has("properties")) {
      return tame_branches(schema, schema[keyword], types, place);
    }
    if (has(keyword)) {
      drop(place, keyword);
    }
  }
  if (types.empty()) {
    if (has("properties") || has("additionalProperties") || (has("required") && schema["required"].is_array())) {
      types = {"object"};
    } else if (has("items") || has("prefixItems")) {
      types = {"array"};
    } else if (has("pattern") || has("minLength") || has("maxLength") || has("format")) {
      types = {"string"};
    }
  }
  if (types.size() > 1 && types.contains("number")) {
    types.erase("integer");
  }
  if (types.empty()) {
    return any_value();
  }
  Json branches = Json::array();
  for (const std::string& type : types) {
    Json branch = type == "object"  ? tame_object(schema, place)
                  : type == "array" ? tame_array(schema, place)
                                    : tame_leaf(schema, type, place);
    if (types.size() == 1) {
      return branch;
    }
    branches.push_back(std::move(branch));
  }
  return {{"anyOf", std::move(branches)}};
}

Json ToolTamer::tame_values(const Json& schema, const Json& values, const std::set<std::string>& types,
                            const Place& place) {
  Json kept = Json::array();
  std::set<std::string> kinds;
  for (const Json& value : values) {
    const std::string type = type_of(value);
    if (types.empty() || types.contains(type) || (type == "integer" && types.contains("number"))) {
      kept.push_back(value);
      kinds.insert(type);
    }
  }
  if (kept.size() != values.size()) {
    drop(place, schema.contains("const") ? "const" : "enum");
  }
  if (kept.empty()) {
    Json rest = schema;
    rest.erase("const");
    rest.erase("enum");
    return tame_types(rest, types, place);
  }
  Json tamed = Json::object();
  const bool one_type = kinds.size() == 1;
  if (one_type) {
    tamed["type"] = *kinds.begin();
  }
  if (kept.size() > kMostValues) {
    std::string fault;
    const auto rule = make_leaf_({{"enum", kept}}, fault);
    if (!rule) {
      drop(place, "enum");
      return one_type ? tamed : any_value();
    }
    if (keep_limits_) {
      tamed["enum"] = std::move(kept);
    } else if (kinds.contains("string")) {  // chat formats look for whether a value can be a string
      tamed["const"] = text_stand_in(*rule);
    } else {
      tamed["const"] = number_stand_in(*rule);
    }
    return tamed;
  }
  tamed["enum"] = std::move(kept);
  return tamed;
}

Json ToolTamer::tame_branches(const Json& schema, const Json& branches, const std::set<std::string>& types,
                              const Place& place) {
  Json tamed = Json::array();
  Place inside = place;
  ++inside.depth;
  for (const Json& branch : branches) {
    Json whole = branch;
    if (whole.is_object() && !whole.contains("type") && !whole.contains("$ref") && !types.empty()) {
      whole["type"] = schema["type"];
    }
    Json one = whole == branch ? tame(branch, inside) : tame(whole, inside);
    if ((one.contains("$ref") && place.begins) || is_any(one) || tamed.size() >= kMostBranches) {
      if (!is_any(one)) {
        drop(place, "anyOf");
      }
      return any_value();
    }
    if (std::find(tamed.begin(), tamed.end(), one) == tamed.end()) {
      tamed.push_back(std::move(one));
    }
  }
  return tamed.size() == 1 ? tamed[0] : Json{{"anyOf", std::move(tamed)}};
}

std::set<std::string> ToolTamer::required_of(const Json& schema, const Place& place) {
  std::set<std::string> names;
  const auto found = schema.find("required");
  if (found == schema.end()) {
    return names;
  }
  if (!found->is_array()) {
    drop(place, "required");
    return names;
  }
  for (const Json& name : *found) {
    if (name.is_string()) {
      names.insert(name.get<std::string>());
    } else {
      drop(place, "required");
    }
  }
  return names;
}

Json ToolTamer::tame_object(const Json& schema, const Place& place) {
  Json tamed = {{"type", "object"}};
  const std::set<std::string> required = required_of(schema, place);
  Json properties = Json::object();
  const auto named = schema.find("properties");
  const bool is_named = named != schema.end() && named->is_object();
  if (named != schema.end() && !is_named) {
    drop(place, "properties");
  }
  size_t optional = 0;
  const Json none = Json::object();
  for (const auto& [name, value] : (is_named ? *named : none).items()) {
    if (value == false) {
      continue;
    }
    if (!required.contains(name) && ++optional > kMostOptional) {
      drop(place, "properties after the first " + std::to_string(kMostOptional));
      continue;
    }
    properties[name] = tame(value, inside_of(place, "properties." + name));
  }
  for (const std::string& name : required) {
    if (!properties.contains(name)) {
      properties[name] = any_value();
    }
  }
  const auto others = schema.find("additionalProperties");
  const bool closed = others != schema.end() && *others == false;
  // An object that names no members, as most tools without parameters do at the top, has none.
  if (!properties.empty() || closed || (is_named && place.path.empty())) {
    tamed["properties"] = std::move(properties);
    if (!required.empty()) {
      tamed["required"] = required;
    }
    if (others != schema.end() && !closed && tamed["properties"].empty()) {
      tamed["additionalProperties"] = any_value();
    }
    return tamed;
  }
  if (others != schema.end() && others->is_object() && !others->empty()) {
    tamed["additionalProperties"] = tame(*others, inside_of(place, "additionalProperties"));
  }
  return tamed;
}

Json ToolTamer::tame_array(const Json& schema, const Place& place) {
  Json tamed = {{"type", "array"}};
  const auto items = schema.find("items");
  const bool is_tuple = schema.contains("prefixItems") || (items != schema.end() && items->is_array());
  if (schema.contains("uniqueItems") && schema["uniqueItems"] != false) {
    drop(place, "uniqueItems");
  }
  if (is_tuple) {
    drop(place, schema.contains("prefixItems") ? "prefixItems" : "items");
    return tamed;
  }
  if (items == schema.end()) {
    return tamed;
  }
  tamed["items"] = tame(*items, inside_of(place, "items"));
  for (const char* keyword : {"minItems", "maxItems"}) {
    if (is_small_count(schema, keyword)) {
      tamed[keyword] = static_cast<int>(schema[keyword].get<double>());
    } else if (schema.contains(keyword)) {
      drop(place, keyword);
    }
  }
  if (tamed.contains("maxItems") && tamed["maxItems"] < std::max(tamed.value("minItems", 0), 1)) {
    drop(place, "maxItems");
    tamed.erase("maxItems");
  }
  return tamed;
}

Json ToolTamer::tame_leaf(const Json& schema, const std::string& type, const Place& place) {
  Json leaf = {{"type", type}};
  for (const char* keyword : kLimits) {
    if (schema.contains(keyword)) {
      leaf[keyword] = schema[keyword];
    }
  }
  const bool is_text = type == "string";
  const bool is_number = type == "integer" || type == "number";
  while (leaf.size() > 1 && (is_text || is_number)) {
    std::string fault;
    const auto rule = make_leaf_(leaf, fault);
    if (rule && keep_limits_) {
      return leaf;
    }
    if (rule) {
      return {{"type", type}, {"const", is_text ? Json(text_stand_in(*rule)) : Json(number_stand_in(*rule))}};
    }
    if (fault.empty() || fault == "type" || !leaf.contains(fault)) {  // no keyword alone is at fault
      for (const auto& [keyword, value] : leaf.items()) {
        if (keyword != "type") {
          drop(place, keyword);
        }
      }
      break;
    }
    drop(place, fault);
    leaf.erase(fault);
  }
  return {{"type", type}};
}

void ToolTamer::note_ignored(const Json& schema, const Place& place) {
  for (const char* keyword : kIgnored) {
    if (schema.contains(keyword)) {
      drop(place, keyword);
    }
  }
}

// What `schema` says, with what its "allOf" says; at the top also with what all of its alternatives could say, since
// chat formats look for parameters there and nowhere else.
Json ToolTamer::flattened(const Json& schema, const Place& place, int depth, bool branches_too) {
  if (!schema.is_object() || depth > kDeepest || ++parts_ > kMostParts) {
    return Json::object();
  }
  Json whole = schema;
  for (const char* keyword : {"$ref", "allOf", "anyOf", "oneOf"}) {
    const auto found = schema.find(keyword);
    const bool alternatives = keyword[0] != '$' && keyword[1] != 'l';
    if (found == schema.end() || (alternatives && !branches_too)) {
      continue;
    }
    whole.erase(keyword);
    if (keyword[0] == '$') {
      const Json* target = found->is_string() ? document_.resolve(&schema, found->get<std::string>()) : nullptr;
      if (target != nullptr && target != &schema) {
        merge(whole, flattened(*target, place, depth + 1, branches_too), true, place);
      }
      continue;
    }
    Json any;
    const Json none = Json::array();
    for (const Json& part : found->is_array() ? *found : none) {
      const Json flat = flattened(part, place, depth + 1, branches_too);
      if (!alternatives) {
        merge(whole, flat, true, place);
      } else if (any.is_null()) {
        any = flat;
      } else {
        merge(any, flat, false, place);
      }
    }
    if (any.is_object()) {
      drop(place, keyword);
      merge(whole, any, true, place);
    }
  }
  return whole;
}

// With the keywords of `from`. Of members that both name the first is kept. `all_hold`: of what they require, all is
// required; otherwise what both do.
void ToolTamer::merge(Json& into, const Json& from, bool all_hold, const Place& place) {
  for (const auto& [keyword, value] : from.items()) {
    if (keyword == "properties" && value.is_object() && into.contains(keyword) && into[keyword].is_object()) {
      for (const auto& [name, schema] : value.items()) {
        if (into[keyword].contains(name) && into[keyword][name] != schema) {
          drop(place, "allOf");
          into[keyword][name] = all_hold ? into[keyword][name] : Json::object();
        } else {
          into[keyword][name] = schema;
        }
      }
    } else if (keyword == "required" && into.contains(keyword)) {
      std::set<std::string> mine = required_of(into, place);
      const std::set<std::string> its = required_of(from, place);
      if (all_hold) {
        mine.insert(its.begin(), its.end());
      } else {
        std::erase_if(mine, [&](const std::string& name) { return !its.contains(name); });
      }
      into[keyword] = mine;
    } else if (!into.contains(keyword) && (all_hold || keyword != "required")) {
      into[keyword] = value;
    } else if (into.contains(keyword) && into[keyword] != value && keyword != "description" && keyword != "title") {
      drop(place, keyword);
    }
  }
  if (!all_hold && !from.contains("required")) {
    into.erase("required");
  }
}

}  // namespace hypura::schema
