#include "chat/thinking_form.h"

#include <gtest/gtest.h>

#include <map>

#include "chat.h"

namespace hypura {
namespace {

using Variables = std::map<std::string, std::string>;

// A template as a function from its variables, without quotes, to what it writes; none: it refuses them.
using Template = std::function<std::optional<std::string>(const Variables&)>;

std::string value(const Variables& variables, const std::string& name, const std::string& otherwise = "") {
  const auto found = variables.find(name);
  return found == variables.end() ? otherwise : found->second;
}

// What the template writes for the wish.
std::string told(const Template& writes, const ThinkingWish& wish, const Variables& given = {}) {
  const auto render = [&](const common_chat_templates_inputs& inputs) {
    Variables variables = {{"enable_thinking", inputs.enable_thinking ? "true" : "false"}};
    for (const auto& [name, json] : inputs.chat_template_kwargs) {
      variables[name] = json.front() == '"' ? json.substr(1, json.size() - 2) : json;
    }
    return writes(variables);
  };
  const ThinkingForm form(render);
  common_chat_templates_inputs inputs;
  inputs.chat_template_kwargs = given;
  form.set(wish, inputs);
  return render(inputs).value_or("refused");
}

const Template kWritten = [](const Variables& it) { return "Reasoning: " + value(it, "reasoning_effort", "medium"); };

TEST(ThinkingForm, WordsForTheModelAreThoseItKnows) {
  EXPECT_EQ(told(kWritten, {}), "Reasoning: medium");
  EXPECT_EQ(told(kWritten, {true, "", {}}), "Reasoning: medium");
  EXPECT_EQ(told(kWritten, {true, "minimal", {}}), "Reasoning: low");
  EXPECT_EQ(told(kWritten, {true, "low", {}}), "Reasoning: low");
  EXPECT_EQ(told(kWritten, {true, "medium", {}}), "Reasoning: medium");
  EXPECT_EQ(told(kWritten, {true, "high", {}}), "Reasoning: high");
  EXPECT_EQ(told(kWritten, {{}, "max", {}}), "Reasoning: high");
}

TEST(ThinkingForm, WhatCannotBeTurnedOffIsTurnedDown) {
  EXPECT_EQ(told(kWritten, {false, "", {}}), "Reasoning: low");
}

TEST(ThinkingForm, ALevelThatATemplateRefusesBecomesTheNearest) {
  const Template chosen = [](const Variables& it) -> std::optional<std::string> {
    const std::string effort = value(it, "reasoning_effort", "no_think");
    const bool known = effort == "low" || effort == "high" || effort == "no_think";
    return known ? std::optional(effort) : std::nullopt;
  };
  EXPECT_EQ(told(chosen, {true, "minimal", {}}), "low");
  EXPECT_EQ(told(chosen, {true, "medium", {}}), "high");
  EXPECT_EQ(told(chosen, {true, "max", {}}), "high");
  EXPECT_EQ(told(chosen, {true, "", {}}), "high");
  EXPECT_EQ(told(chosen, {false, "", {}}), "no_think");
  EXPECT_EQ(told(chosen, {false, "high", {}}), "no_think");
}

TEST(ThinkingForm, LevelsThatATemplateDoesNothingForAreItsUsualOne) {
  const Template most = [](const Variables& it) {
    const bool off = value(it, "enable_thinking") == "false";
    return off ? "off" : (value(it, "reasoning_effort") == "max" ? "most" : "usual");
  };
  EXPECT_EQ(told(most, {true, "low", {}}), "usual");
  EXPECT_EQ(told(most, {true, "high", {}}), "usual");
  EXPECT_EQ(told(most, {true, "xhigh", {}}), "most");
  EXPECT_EQ(told(most, {true, "max", {}}), "most");
  EXPECT_EQ(told(most, {false, "max", {}}), "off");
}

TEST(ThinkingForm, OtherNamesForIt) {
  const Template named = [](const Variables& it) {
    return value(it, "thinking") == "false" ? "off" : value(it, "thinking_effort", "max");
  };
  EXPECT_EQ(told(named, {true, "low", {}}), "low");
  EXPECT_EQ(told(named, {false, "", {}}), "off");
  const Template mode = [](const Variables& it) { return value(it, "thinking_mode", "adaptive"); };
  EXPECT_EQ(told(mode, {false, "", {}}), "disabled");
  EXPECT_EQ(told(mode, {true, "high", {}}), "adaptive");
}

TEST(ThinkingForm, NumbersOfTokens) {
  const Template counted = [](const Variables& it) { return value(it, "thinking_budget", "-1"); };
  EXPECT_EQ(told(counted, {true, "", {}}), "-1");
  EXPECT_EQ(told(counted, {true, "low", {}}), "1024");
  EXPECT_EQ(told(counted, {true, "max", {}}), "-1");
  EXPECT_EQ(told(counted, {true, "", 3000}), "3000");
  EXPECT_EQ(told(counted, {false, "", {}}), "0");
  EXPECT_EQ(told(kWritten, {true, "", 1024}), "Reasoning: low");
  EXPECT_EQ(told(kWritten, {true, "", 8000}), "Reasoning: medium");
  EXPECT_EQ(told(kWritten, {true, "", 60000}), "Reasoning: high");
}

TEST(ThinkingForm, WhatTheRequestGivesIsKept) {
  EXPECT_EQ(told(kWritten, {true, "low", {}}, {{"reasoning_effort", "\"my own\""}}), "Reasoning: my own");
}

TEST(ThinkingForm, ATemplateWithoutItGetsNothing) {
  const Template plain = [](const Variables& it) { return std::to_string(it.size()); };
  EXPECT_EQ(told([](const Variables&) { return "text"; }, {true, "high", {}}), "text");
  EXPECT_EQ(told(plain, {}), "1");
}

}  // namespace
}  // namespace hypura
