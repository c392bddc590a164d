// Schemas of tools' parameters in a form that llama.cpp's chat formats can follow, whatever they are.
//
// llama.cpp makes grammars of them itself, by types, "properties", "items", "anyOf", "enum" and references: that is
// kept, in forms that it reads well. What it cannot read, and what it would read at great cost, is left out. Limits of
// single numbers and strings become rules of ours: a value that stands for them is put in their place.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "schema/document.h"

namespace hypura::schema {

// The values that stand for rule number i: a string, or a whole number.
std::string text_stand_in(size_t i);
uint64_t number_stand_in(size_t i);

// Whether a value of a tamed schema can be a string: then chat formats that mark up arguments have it as it stands.
bool may_be_text(const Json& tamed);

// The schema of one tool's parameters. For one thread.
class ToolTamer {
 public:
  // Makes a rule for the values of a schema without parts, and gives its number; none when that cannot be, with the
  // keyword that is at fault, if it is one alone.
  using MakeLeaf = std::function<std::optional<size_t>(const Json& leaf, std::string& fault)>;

  // References within the result begin with `prefix`, which no other tool has. With `keep_limits` what rules can be
  // made of stays as it is, and nothing stands for it.
  ToolTamer(Json parameters, std::string prefix, MakeLeaf make_leaf, bool keep_limits = false);

  // An object with "properties" and "required", always.
  Json tame();

  // What was left out, as in "properties.age: multipleOf", after tame().
  const std::set<std::string>& dropped() const { return dropped_; }

 private:
  struct Place {
    std::string path;
    int depth = 0;
    std::vector<const Json*> inside;  // references that are being followed
    bool begins = false;              // whether a definition's rule begins here: then it must not refer to another
  };

  Json tame(const Json& schema, const Place& place);
  Json tame_types(const Json& schema, std::set<std::string> types, const Place& place);
  Json tame_values(const Json& schema, const Json& values, const std::set<std::string>& types, const Place& place);
  Json tame_branches(const Json& schema, const Json& branches, const std::set<std::string>& types, const Place& place);
  Json tame_object(const Json& schema, const Place& place);
  Json tame_array(const Json& schema, const Place& place);
  Json tame_leaf(const Json& schema, const std::string& type, const Place& place);
  Json reference(const Json* target, const Place& place);
  static Place inside_of(const Place& place, const std::string& step);
  Json flattened(const Json& schema, const Place& place, int depth, bool branches_too);
  void merge(Json& into, const Json& from, bool all_hold, const Place& place);
  std::set<std::string> types_of(const Json& schema, const Place& place);
  std::set<std::string> required_of(const Json& schema, const Place& place);
  void note_ignored(const Json& schema, const Place& place);
  void drop(const Place& place, const std::string& keyword);

  Document document_;
  std::string prefix_;
  MakeLeaf make_leaf_;
  bool keep_limits_;
  std::set<std::string> dropped_;
  std::vector<const Json*> referred_;  // what the definitions of the result stand for, by number
  size_t parts_ = 0;
};

}  // namespace hypura::schema
