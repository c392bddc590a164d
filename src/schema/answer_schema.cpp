#include "schema/answer_schema.h"

#include <nlohmann/json.hpp>

#include "llama/tokenizer/control_text.h"
#include "schema/compiler.h"
#include "support/fail.h"

namespace hypura {

namespace {

// No name of a rule of llama.cpp's own begins like this.
constexpr const char* kPrefix = "answer-json-";
constexpr const char* kStandIn = "hypura: the answer's schema";

}  // namespace

Result<std::string> schema_rules(const std::string& schema) {
  if (too_deep(schema)) {
    return fail(ErrorCode::kUsage, "the JSON schema is nested deeper than {} levels", kDeepestJson);
  }
  auto value = schema::Json::parse(schema, nullptr, false);
  if (!value.is_object()) {
    return fail(ErrorCode::kUsage, "the JSON schema must be a JSON object");
  }
  if (value.empty()) {
    value["type"] = "object";
  }
  schema::Work work;
  schema::Context context(std::move(value), work);
  schema::Rules rules;
  const schema::Rules::Symbol root = schema::Compiler(context, rules).compile(context.document().root());
  if (context.failed()) {
    return fail(ErrorCode::kUsage, "{}", context.fault()->message);
  }
  // Nothing else refers to a root of its own: with_schema gives it another name.
  return rules.grammar({{rules.rule({{root}}), "root"}}, kPrefix);
}

const std::string& schema_stand_in() {
  static const std::string kSchema = nlohmann::json{{"const", kStandIn}}.dump();
  return kSchema;
}

std::optional<std::string> with_schema(const std::string& grammar, const std::string& schema_rules) {
  const std::string literal = "\"\\\"" + std::string(kStandIn) + "\\\"\"";
  const std::string root = std::string(kPrefix) + "root";
  if (grammar.find(literal) == std::string::npos) {
    return std::nullopt;
  }
  std::string made = grammar;
  for (size_t at = made.find(literal); at != std::string::npos; at = made.find(literal, at + root.size())) {
    made.replace(at, literal.size(), root);
  }
  return made + "\n" + std::string(kPrefix) + schema_rules;
}

}  // namespace hypura
