// The keywords of one schema, read as what they must be. Whatever else they are is a fault of the context, and then
// they count as absent.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "schema/context.h"

namespace hypura::schema {

class Keywords {
 public:
  Keywords(Context& context, const Json& schema) : context_(context), schema_(schema) {}

  const Json& schema() const { return schema_; }
  Context& context() const { return context_; }

  // As it stands; null when it is absent.
  const Json* find(const char* keyword) const;

  std::optional<uint64_t> count(const char* keyword) const;
  std::optional<Decimal> number(const char* keyword) const;
  std::optional<std::string> text(const char* keyword) const;
  std::optional<bool> flag(const char* keyword) const;
  std::vector<std::string> names(const char* keyword) const;

  // Null when it is absent.
  const Json* subschema(const char* keyword) const;
  const Json* array(const char* keyword, bool may_be_empty = false) const;
  const Json* object(const char* keyword) const;

  // As object, but empty when it is absent.
  const Json& members(const char* keyword) const;

  // The bounds of numbers, whichever draft of the standard writes them.
  std::optional<Bound> low() const { return bound("minimum", "exclusiveMinimum", true); }
  std::optional<Bound> high() const { return bound("maximum", "exclusiveMaximum", false); }

  std::optional<Step> step() const;

  // "format" and "contentEncoding" as rules for texts, with those of "pattern".
  std::vector<TextRule> text_rules() const;

  // What is said of an array's elements; none when nothing is.
  std::optional<ItemLayer> items() const;

  // The schemas that "type" and what goes with it leave room for: of "null", "boolean", ... Absent: all.
  struct Types {
    std::set<std::string> names;
    bool has(const std::string& name) const { return names.contains(name); }
  };
  std::optional<Types> types() const;

  void refuse(const char* keyword, std::string_view why) const { context_.refuse(&schema_, keyword, why); }

 private:
  std::optional<Bound> bound(const char* inclusive, const char* exclusive, bool is_low) const;
  void add_format(const char* keyword, std::vector<TextRule>& rules) const;

  Context& context_;
  const Json& schema_;
};

}  // namespace hypura::schema
