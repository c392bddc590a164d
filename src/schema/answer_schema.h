// JSON schemas that answers are held to, as llama.cpp's grammars.
#pragma once

#include <optional>
#include <string>

#include "hypura/result.h"

namespace hypura {

// The grammar, from its rule "root" on, for the values of a JSON schema: every value that it lets through is of the
// schema, though not every value of the schema need come through (members of objects come in the order in which the
// schema names them, and where it does not speak of other members there are none). "{}", which says nothing, means
// any JSON object. Fails with kUsage, naming keyword and place, when the text is no schema, is nested deeper than
// kDeepestJson, holds what cannot be enforced, allows no value, or would cost too much.
Result<std::string> schema_rules(const std::string& schema);

// For a grammar that llama.cpp makes of a chat template and a schema: it is given this schema, which stands for any
// other, and then the rules of the other are put into its place. None when the grammar has no place for a schema.
const std::string& schema_stand_in();
std::optional<std::string> with_schema(const std::string& grammar, const std::string& schema_rules);

}  // namespace hypura
