// Schemas as shapes: what values they allow, type by type, with everything combined that they combine.
//
// The shapes of a schema may allow less than it does, never more: where a combination has no exact form, what can be
// said of it is kept, and the rest is left out.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>

#include "schema/context.h"
#include "schema/keywords.h"
#include "schema/validator.h"

namespace hypura::schema {

// For one thread, as its context.
class Expander {
 public:
  explicit Expander(Context& context) : context_(context), validator_(context) {}

  // What values are of all the terms. The reference stays good.
  const Shapes& shapes(const Terms& terms);

  // The keyword that left a term no values; empty when that is not known.
  std::string emptied_by(const Json* schema) const;

  Validator& validator() { return validator_; }

  // What all layers say together of a member, or of a member that none of them names nor has a pattern for.
  Terms member(const ObjectShape& object, const std::string& name);

  // Whether surely no value has the shape. Looks at what must be members only so deep.
  bool empty(const Shape& shape);

 private:
  const Shapes& shapes(const Term& term);
  bool is_partial(const Term& term);
  bool surely_empty(const Shape& shape);
  bool none(const Terms& terms);
  Shapes expand(const Json& schema);
  Shapes own(const Keywords& words);
  NumberShape numbers(const Keywords& words);
  StringShape strings(const Keywords& words);
  ArrayShape arrays(const Keywords& words);
  ObjectShape objects(const Keywords& words);
  std::shared_ptr<const PropertyLayer> members(const Keywords& words);
  void combine(Shapes& all, const Keywords& words);
  void refer(Shapes& all, const Keywords& words, const char* keyword);
  void depend(Shapes& all, const Keywords& words, const char* keyword);
  Shapes one_of(const Keywords& words, const Json& branches);
  Shapes alone(const Json& branches, size_t i);
  bool overlap(const Shape& shape, const Term& of, const Term& with);
  void leave_nothing_unseen(Shapes& all, const Keywords& words);

  // Of what is not of a schema.
  Shapes expand_negated(const Json& schema);
  void negate_types(Shapes& all, const Keywords& words);
  void negate_numbers(Shapes& all, const Keywords& words);
  void negate_strings(Shapes& all, const Keywords& words);
  void negate_arrays(Shapes& all, const Keywords& words);
  void negate_objects(Shapes& all, const Keywords& words);
  void negate_dependencies(Shapes& all, const Keywords& words);
  void negate_values(Shapes& all, const Keywords& words);
  void negate_combined(Shapes& all, const Keywords& words);

  // What is of both; only as many as can be dealt with, when `some` will do.
  Shapes product(const Shapes& a, const Shapes& b, bool some = false);
  void narrow(Shapes& all, const Shapes& by, const Keywords& words, const char* keyword);
  void keep_valid(Shapes& all, const Terms& terms);

  Context& context_;
  Validator validator_;
  std::map<Term, Shapes> of_term_;
  std::map<Terms, Shapes> of_terms_;
  std::set<Term> expanding_;
  std::map<const Json*, std::string> emptied_by_;

  // Terms whose shapes may leave out values. That such shapes have nothing in common with others says nothing.
  std::set<Term> partial_;
  bool partly_ = false;  // whether what is being expanded is one of them

  // While it is asked whether a shape is empty, a schema that is just being expanded may be met again: it counts as
  // not empty then, and nothing that was made of that is kept longer than the question.
  int looking_ = 0;  // how deep in such questions
  bool tainted_ = false;
  std::deque<Shapes> scratch_;
};

// An object with, or without, a member of that name.
ObjectShape with_member(const std::string& name);
ObjectShape without_member(const std::string& name);

}  // namespace hypura::schema
