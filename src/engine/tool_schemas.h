// Tools' parameters in a form that llama.cpp's chat formats can follow, for the grammars that calls are held to.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/schema/rules.h"
#include "engine/schema/work.h"

namespace hypura {

// The tools of one request. For one thread.
class ToolSchemas {
 public:
  // The JSON schema that llama.cpp is to be given for that of a tool's parameters, which is any JSON: an object with
  // "properties". What cannot be followed is left out, which is logged, once for each tool.
  std::string add(const std::string& tool, const std::string& parameters);

  // `grammar`, which llama.cpp made of the schemas given, with the rules for what it does not make rules of itself.
  std::string complete(const std::string& grammar) const;

 private:
  schema::Rules rules_;
  schema::Work work_;
  std::vector<schema::Rules::Symbol> leaves_;
  std::map<std::string, size_t> leaf_numbers_;  // by the text of their schemas
  size_t tools_ = 0;
};

// For people, models and templates that do not take the parameters as they are: the same without what only llama.cpp's
// grammars need.
std::string plain_parameters(const std::string& parameters);

}  // namespace hypura
