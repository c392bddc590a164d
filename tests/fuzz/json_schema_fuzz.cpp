// JSON schemas, as answers' formats and as tools' parameters: whatever they are, they are refused, or become grammars
// that llama.cpp takes, and what such a grammar lets through is of the schema.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "json-schema-to-grammar.h"
#include "llama.h"
#include "llama/tokenizer/control_text.h"
#include "schema/answer_schema.h"
#include "schema/grammar_for_test.h"
#include "schema/llama_schema_for_test.h"
#include "schema/tool_schemas.h"
#include "schema/validator.h"
#include "support/log.h"

namespace {

using namespace hypura;

constexpr int kTexts = 4;

void check(bool holds, const char* what, const std::string& text) {
  if (!holds) {
    std::fprintf(stderr, "%s:\n%s\n", what, text.c_str());
    std::abort();
  }
}

void as_format(const std::string& text) {
  const auto rules = schema_rules(text);
  if (!rules) {
    return;
  }
  schema::GrammarForTest grammar(*rules);
  check(grammar.good(), "llama.cpp refuses this grammar", *rules);
  auto value = schema::Json::parse(text);
  if (value.empty()) {
    value["type"] = "object";
  }
  schema::Work work;
  schema::Context context(std::move(value), work);
  schema::Validator validator(context);
  std::mt19937 random(static_cast<uint32_t>(text.size()));
  for (int i = 0; i < kTexts && grammar.most_stacks() < 500; ++i) {
    const std::string made = grammar.random_text(random, 200);
    const auto answer = schema::Json::parse(made, nullptr, false);
    check(made.empty() || !answer.is_discarded(), "the grammar lets through what is no JSON", made);
    check(made.empty() || validator.valid(answer, context.document().root()) || context.failed(),
          "the grammar lets through what is not of the schema", made);
  }
}

void as_parameters(const std::string& text, bool flat) {
  ToolSchemas schemas(flat);
  const auto tamed = common_json::parse(schemas.add("tool", text));
  const std::string rules = schemas.complete(build_grammar([&](const common_grammar_builder& builder) {
    builder.add_rule("root", add_schema(builder, "tool-x-schema", tamed));
  }));
  check(schema::GrammarForTest(rules).good(), "llama.cpp refuses this grammar of a tool", rules);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  hypura::logger().set_level(spdlog::level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  as_format(text);
  if (!too_deep(text)) {
    as_parameters(text, false);
    as_parameters(text, true);
  }
  return 0;
}
