// Tools' parameters in a form that llama.cpp's chat formats can follow, for the grammars that calls are held to.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/document.h"
#include "schema/rules.h"
#include "schema/work.h"

namespace hypura {

namespace schema {
class Compiler;
class Context;
}  // namespace schema

// The tools of one request. For one thread.
class ToolSchemas {
 public:
  // `flat`: no parameter has parts for llama.cpp and its templates, of which some take only the simplest. The answers
  // are the same, but for chat formats that mark up parts of arguments.
  explicit ToolSchemas(bool flat) : flat_(flat) {}

  // The JSON schema that llama.cpp is to be given for that of a tool's parameters, which is any JSON: an object with
  // "properties". What cannot be followed is left out, which is logged, once for each tool.
  std::string add(const std::string& tool, const std::string& parameters);

  // `grammar`, which llama.cpp made of the schemas given, with the rules for what it does not make rules of itself.
  std::string complete(const std::string& grammar) const;

 private:
  // The number of the rule for a schema; none when that cannot be, with the keyword that is at fault.
  std::optional<size_t> add_leaf(const schema::Json& leaf, std::string& fault);
  size_t add_rule(schema::Rules::Symbol rule);
  schema::Json stand_in(const schema::Json& schema, schema::Compiler& compiler, const schema::Context& context);
  schema::Json flattened(const schema::Json& tamed);

  bool flat_;
  schema::Rules rules_;
  schema::Work work_{3'000'000};
  std::vector<schema::Rules::Symbol> leaves_;
  std::map<std::string, size_t> leaf_numbers_;  // by the text of their schemas
  size_t tools_ = 0;
};

// For templates that do not take a tool's parameters as they are: in plain words of JSON schemas. `flat` as above.
std::string plain_parameters(const std::string& parameters, bool flat);

}  // namespace hypura
