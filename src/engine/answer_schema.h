// JSON schemas as llama.cpp's grammars.
#pragma once

#include <string>

#include "hypura/result.h"

namespace hypura {

// A schema in the form that llama.cpp takes: "{}", which says nothing, means any JSON object. Fails with kUsage when
// the text is no JSON object, or one nested too deep.
Result<std::string> known_schema(const std::string& schema);

// The rules of a grammar for JSON of a schema that known_schema gave. Fails with kUsage, saying what cannot be
// followed.
Result<std::string> schema_rules(const std::string& schema);

}  // namespace hypura
