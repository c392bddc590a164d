// For tests: schemas with values that their rules let through, or not; and schemas that are refused.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "schema/answer_schema.h"
#include "schema/grammar_for_test.h"
#include "schema/validator.h"

namespace hypura {

struct Enforced {
  std::string schema;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

// What the grammar itself lets through, whatever it is, is of the schema by the standard's rules.
inline void check_random_texts(const std::string& text, schema::GrammarForTest& grammar) {
  schema::Work work;
  schema::Context context(schema::Json::parse(text), work);
  schema::Validator validator(context);
  std::mt19937 random(7);
  for (int i = 0; i < 30; ++i) {
    const std::string made = grammar.random_text(random);
    if (made.empty()) {
      continue;
    }
    const auto value = schema::Json::parse(made, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << text << "\n" << made;
    EXPECT_TRUE(validator.valid(value, context.document().root())) << text << "\n" << made;
  }
  EXPECT_FALSE(context.failed()) << context.fault()->message;
}

inline void check(const std::vector<Enforced>& table) {
  for (const Enforced& it : table) {
    const auto rules = schema_rules(it.schema);
    ASSERT_TRUE(rules) << it.schema << "\n" << rules.error().message;
    schema::GrammarForTest grammar(*rules);
    ASSERT_TRUE(grammar.good()) << it.schema << "\n" << *rules;
    for (const std::string& good : it.good) {
      EXPECT_TRUE(grammar.accepts(good)) << it.schema << "\n" << good;
    }
    for (const std::string& bad : it.bad) {
      EXPECT_FALSE(grammar.accepts(bad)) << it.schema << "\n" << bad;
    }
    check_random_texts(it.schema, grammar);
  }
}

struct RefusedSchema {
  std::string schema;
  const char* why;
};

inline void check_refused(const std::vector<RefusedSchema>& table) {
  for (const RefusedSchema& it : table) {
    const auto rules = schema_rules(it.schema);
    ASSERT_FALSE(rules) << it.schema << "\n" << *rules;
    EXPECT_EQ(rules.error().code, ErrorCode::kUsage);
    EXPECT_THAT(rules.error().message, testing::HasSubstr(it.why)) << it.schema;
  }
}

}  // namespace hypura
