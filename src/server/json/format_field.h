// The field `format` of a request: what shape the answer must have.
#pragma once

#include <optional>
#include <string>

#include "hypura/result.h"
#include "server/json/json.h"

namespace hypura {

// The text of a JSON schema for AnswerRequest::json_schema: "{}", any object, for "json"; the schema itself for an
// object; none for null (or a null pointer) and "". Fails with kUsage on anything else.
Result<std::optional<std::string>> read_format(const Json* value);

}  // namespace hypura
