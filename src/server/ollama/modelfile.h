// Modelfiles: what a model is to be made from, as text or as the fields of /api/create.
#pragma once

#include <string>
#include <string_view>

#include "hypura/result.h"
#include "server/json/fields.h"
#include "server/json/json.h"

namespace hypura::ollama {

struct Modelfile {
  std::string from;
  std::string system;
  std::string prompt_template;  // TEMPLATE
  std::string license;
  Json parameters = Json::object();
  Json messages = Json::array();  // of {role, content}
};

// Reads the text of a Modelfile: FROM, SYSTEM, PARAMETER, TEMPLATE, LICENSE, MESSAGE; values on one line, in quotes, or
// between lines of three quotes. Fails with kUsage and the number of the line: on what is no instruction, and on what
// Hypura has no use for, by name.
Result<Modelfile> read_modelfile(std::string_view text);

// Adds what the fields of a request say: from, system, template, license, parameters, messages. Fields that Hypura has
// no use for are refused by name.
void read_modelfile_fields(Fields& in, Modelfile& file);

// Checks parameters: kUsage for one that is no option, or is not of its type.
Status check_parameters(const Json& parameters);

}  // namespace hypura::ollama
