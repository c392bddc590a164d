#include "engine/answer_schema.h"

#include <nlohmann/json.hpp>

#include "engine/control_text.h"
#include "json-schema-to-grammar.h"

namespace hypura {

Result<std::string> known_schema(const std::string& schema) {
  if (too_deep(schema)) {
    return fail(ErrorCode::kUsage, "the JSON schema is nested deeper than {} levels", kDeepestJson);
  }
  const auto value = nlohmann::json::parse(schema, nullptr, false);
  if (!value.is_object()) {
    return fail(ErrorCode::kUsage, "the JSON schema must be a JSON object");
  }
  return value.empty() ? R"({"type":"object"})" : schema;
}

Result<std::string> schema_rules(const std::string& schema) {
  try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
    return json_schema_to_grammar(common_json::parse(schema));
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUsage, "the JSON schema cannot be followed: {}", error.what());
  } catch (...) {
    return fail(ErrorCode::kUsage, "the JSON schema cannot be followed");
  }
}

}  // namespace hypura
