// Schemas as grammars.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "schema/expander.h"
#include "schema/rules.h"

namespace hypura::schema {

// Adds to rules that others may have added to. For one thread, as its context.
class Compiler {
 public:
  Compiler(Context& context, Rules& rules) : context_(context), expander_(context), rules_(rules) {}

  // The rule for the values of `schema`. That there are none is a fault of the context, as is everything in it that
  // cannot be enforced.
  Rules::Symbol compile(const Json& schema);

 private:
  // A member that an object may have.
  struct Member {
    Rules::Symbol rule = 0;
    bool required = false;
  };

  // What an object may have, in the order in which it must come, with how many there may be.
  struct Members {
    std::vector<Member> known;
    std::vector<Rules::Symbol> others;  // any number of these, at the end
    uint64_t min = 0;
    std::optional<uint64_t> max;
    std::optional<uint64_t> most_others;  // where all members are not counted
    uint64_t counted = 0;                 // up to which number they are

    size_t next_required(size_t from) const;
  };

  // Members with names of one kind.
  struct Region {
    Automaton names;
    Terms what;
    bool spoken_for = false;  // whether the schema says anything of them
  };

  // The rules for what may follow: by how many of the members that are known have gone by, and how many there are.
  struct Followers {
    std::vector<std::vector<Rules::Symbol>> after;
    std::map<std::tuple<size_t, size_t, uint64_t>, Rules::Symbol> among;
  };

  Rules::Symbol node(const Terms& terms);
  void emit(const Terms& terms, Rules::Symbol rule);
  void emit(const Shape& shape, Rules::Symbol rule);

  Rules::Symbol constants(const Constants& constants);
  Rules::Symbol number(const NumberShape& shape);
  Rules::Symbol string(const StringShape& shape);

  void emit_array(const ArrayShape& shape, Rules::Symbol rule);
  bool emit_unique(const ArrayShape& shape, Rules::Symbol rule);
  std::optional<std::vector<const Json*>> few_values(const Terms& terms);
  std::vector<Terms> elements(const ArrayShape& shape, Terms& rest);
  bool add_contained(const ArrayShape& shape, std::vector<Terms>& first, Terms& rest);
  Rules::Symbol elements_from(const std::vector<Terms>& first, const Terms& rest, const ArrayShape& shape);

  void emit_object(const ObjectShape& shape, Rules::Symbol rule);
  std::vector<std::string> known_names(const ObjectShape& shape);
  std::vector<Rules::Symbol> other_members(const ObjectShape& shape, const std::vector<std::string>& known);
  std::vector<Region> named_regions(const ObjectShape& shape, const StringShape& unnamed);
  void split(std::vector<Region>& regions, const PropertyLayer& layer);
  Rules::Symbol other_member(Rules::Symbol name, const Terms& terms);
  Rules::Symbol begin_members(const Members& members);
  Rules::Symbol next_member(const Members& members, Followers& followers, size_t i, uint64_t count);
  Rules::Symbol member_among(const Members& members, Followers& followers, size_t begin, size_t size, uint64_t count);
  Rules::Sequence others_from(const Members& members, uint64_t count);

  void refuse_impossible(const Terms& root);

  Context& context_;
  Expander expander_;
  Rules& rules_;
  std::map<Terms, Rules::Symbol> nodes_;
  std::vector<Terms> todo_;
  std::map<std::string, Rules::Symbol> by_text_;  // rules of strings and numbers, by what makes them
};

}  // namespace hypura::schema
