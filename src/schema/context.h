// What the parts of one reading of a schema share: the document, what it may still cost, and the first fault found.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "schema/document.h"
#include "schema/pattern/automaton.h"
#include "schema/shape.h"
#include "schema/work.h"

namespace hypura::schema {

// Text of a schema for people: short, and on one line.
std::string in_short(std::string_view text);

// For one thread. After the first fault everything goes on, to no effect: who has a result looks at fault() first.
class Context {
 public:
  Context(Json schema, Work& work) : document_(std::move(schema)), work_(work) {}

  const Document& document() const { return document_; }
  struct Fault {
    std::string keyword;  // empty when it is none's
    std::string message;
  };
  const std::optional<Fault>& fault() const { return fault_; }
  bool failed() const { return fault_.has_value(); }

  // Notes that `keyword` of the schema `at` is at fault: `why` goes on from its name, as in "must be a number".
  void refuse(const Json* at, std::string_view keyword, std::string_view why);

  // Counts steps; false when there are none left, which is a fault, or when there was one before.
  bool spend(uint64_t steps);

  // The texts that a rule allows; null when that is a fault.
  const Automaton* automaton(const TextRule& rule);

  // The texts of all the rules, `min` to `max` characters long; null when that is a fault.
  const Automaton* automaton(const StringShape& shape);

 private:
  const Automaton* keep(const std::string& key, std::optional<Automaton> made, const TextRule& rule);

  Document document_;
  Work& work_;
  std::optional<Fault> fault_;
  std::map<std::string, Automaton> automata_;
};

}  // namespace hypura::schema
