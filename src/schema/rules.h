// The rules of a grammar, in llama.cpp's notation at the end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "schema/pattern/automaton.h"
#include "schema/pattern/char_set.h"

namespace hypura::schema {

class Rules {
 public:
  // A rule, or a terminal.
  using Symbol = int32_t;
  using Sequence = std::vector<Symbol>;

  // Terminals: this text; one of these characters; whatever the notation says, in parentheses if it has alternatives.
  Symbol text(const std::string& text);
  Symbol chars(const CharSet& set) { return notation(grammar_class(set)); }
  Symbol notation(const std::string& notation);

  // A new rule, which matches nothing until it has alternatives.
  Symbol rule();
  void add(Symbol rule, Sequence alternative);
  Symbol rule(std::vector<Sequence> alternatives);

  // `min` to `max` times `symbol`, or more without `max`. A few rules suffice for any number.
  Sequence repeated(Symbol symbol, uint64_t min, std::optional<uint64_t> max);

  // One of these texts; as a tree, so that many of them are no more work to follow than few.
  Symbol one_of(std::vector<std::string> texts);

  // The inside of a JSON string whose text `it` accepts, with the closing quote.
  Symbol string_rest(const Automaton& it);

  // The rules shared by all JSON.
  Symbol space();
  Symbol value();
  Symbol object();
  Symbol array();
  Symbol string();
  Symbol character();
  Symbol number();
  Symbol integer();

  // How many symbols there are in all alternatives.
  size_t size() const { return size_; }

  // Which rules can match some text.
  std::vector<bool> productive() const;

  // All that `roots` need, which are rules and have these names; the others' names begin with `prefix`. Rules that
  // match nothing are left out, with the alternatives that need them.
  std::string grammar(const std::vector<std::pair<Symbol, std::string>>& roots, const std::string& prefix) const;

 private:
  enum class Shared { kSpace, kValue, kObject, kArray, kString, kCharacter, kNumber, kInteger };

  struct Branch {
    Symbol rule;
    size_t begin;
    size_t end;
    size_t from;
  };

  Symbol shared(Shared which, Symbol (Rules::*make)(Symbol));
  Symbol make_space(Symbol rule);
  Symbol make_value(Symbol rule);
  Symbol make_object(Symbol rule);
  Symbol make_array(Symbol rule);
  Symbol make_string(Symbol rule);
  Symbol make_character(Symbol rule);
  Symbol make_number(Symbol rule);
  Symbol make_integer(Symbol rule);
  Symbol exactly(Symbol symbol, uint64_t times);
  Symbol at_most(Symbol symbol, uint64_t times);
  void grow(const std::vector<std::string>& texts, Branch branch, std::vector<Branch>& todo);
  void add_chars(Symbol rule, const CharSet& set, Symbol next);

  std::vector<std::vector<Sequence>> rules_;
  std::vector<std::string> terminals_;  // number ~i
  std::map<std::string, Symbol> terminal_numbers_;
  std::map<Shared, Symbol> shared_;
  std::map<std::tuple<Symbol, uint64_t, bool>, Symbol> repeated_;
  size_t size_ = 0;
};

}  // namespace hypura::schema
