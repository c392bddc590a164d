// Whether a value is of a schema, by the standard's own rules.
#pragma once

#include <map>
#include <set>
#include <string>

#include "schema/context.h"

namespace hypura::schema {

// For one thread, as its context.
class Validator {
 public:
  explicit Validator(Context& context) : context_(context) {}

  // Anything but a schema as `schema`, and whatever else cannot be read, is a fault of the context.
  bool valid(const Json& value, const Json& schema);

  bool valid(const Json& value, const Term& term) { return valid(value, *term.schema) != term.negated; }
  bool valid(const Json& value, const Terms& terms);

 private:
  // What of a value was looked at, for the keywords about what was not.
  struct Seen {
    std::set<std::string> members;
    std::set<size_t> elements;
  };

  bool check(const Json& value, const Json& schema, Seen& seen);
  bool check_type(const Json& value, const Json& schema);
  bool check_number(const Json& value, const Json& schema);
  bool check_string(const Json& value, const Json& schema);
  bool check_array(const Json& value, const Json& schema, Seen& seen);
  bool check_contains(const Json& value, const Json& schema, Seen& seen);
  bool check_object(const Json& value, const Json& schema, Seen& seen);
  bool check_member(const std::string& name, const Json& value, const Json& schema, Seen& seen);
  bool check_dependencies(const Json& value, const Json& schema, Seen& seen);
  bool check_combined(const Json& value, const Json& schema, Seen& seen);
  bool check_branches(const Json& value, const Json& schema, Seen& seen);
  bool check_unseen(const Json& value, const Json& schema, Seen& seen);

  const std::set<std::string>& texts_of(const Json& values);

  Context& context_;
  std::map<const Json*, std::set<std::string>> texts_of_;  // of the values of an "enum"
  int depth_ = 0;
};

}  // namespace hypura::schema
