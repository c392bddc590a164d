// What of tools' schemas llama.cpp's grammars know, for ToolTamer.
#pragma once

#include <array>
#include <cmath>
#include <string>

#include "schema/document.h"

namespace hypura::schema {

inline constexpr double kMostItems = 64;

inline constexpr std::array<const char*, 7> kTypes = {"null",   "boolean", "integer", "number",
                                                      "string", "array",   "object"};

// What no rule of llama.cpp's follows.
inline constexpr std::array<const char*, 17> kIgnored = {"not",
                                                         "if",
                                                         "then",
                                                         "else",
                                                         "dependentRequired",
                                                         "dependentSchemas",
                                                         "dependencies",
                                                         "contains",
                                                         "minContains",
                                                         "maxContains",
                                                         "patternProperties",
                                                         "propertyNames",
                                                         "minProperties",
                                                         "maxProperties",
                                                         "unevaluatedItems",
                                                         "unevaluatedProperties",
                                                         "additionalItems"};

inline constexpr std::array<const char*, 10> kLimits = {
    "minimum",   "maximum",   "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern",          "format",           "contentEncoding"};

// A schema that allows anything. An empty one would mean objects to llama.cpp.
inline Json any_value() {
  return {{"description", "any value"}};
}

inline bool is_any(const Json& tamed) {
  return !tamed.contains("type") && !tamed.contains("anyOf") && !tamed.contains("$ref") && !tamed.contains("const") &&
         !tamed.contains("enum");
}

inline std::string type_of(const Json& value) {
  return value.is_null()             ? "null"
         : value.is_boolean()        ? "boolean"
         : value.is_number_integer() ? "integer"
         : value.is_number()         ? "number"
         : value.is_string()         ? "string"
         : value.is_array()          ? "array"
                                     : "object";
}

// Whether a keyword is a number of elements that a rule can have.
inline bool is_small_count(const Json& schema, const char* keyword) {
  const auto found = schema.find(keyword);
  const double count = found != schema.end() && found->is_number() ? found->get<double>() : -1;
  return count >= 0 && count <= kMostItems && count == std::floor(count);
}

}  // namespace hypura::schema
