#include "output/answer_parser.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "chat.h"
#include "llama/llama_runtime.h"
#include "support/fail.h"
#include "templates/chat_templates.h"

namespace hypura {
namespace {

std::unique_ptr<AnswerParser> parser_of(const std::string& name) {
  silence_common_log();
  std::ifstream file(std::filesystem::path(HYPURA_SOURCE_DIR) / "deps" / "llama.cpp" / "models" / "templates" / name);
  const auto templates = text_templates({std::istreambuf_iterator<char>(file), {}}, "", "");
  common_chat_templates_inputs inputs;
  inputs.messages.emplace_back().role = "user";
  inputs.messages.back().content = "Hello.";
  inputs.tools.push_back({"read", "", R"({"type": "object", "properties": {"a": {"type": "array"}}})"});
  inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  const auto params = templates ? apply_templates(**templates, inputs) : propagate(templates.error());
  if (!params) {
    ADD_FAILURE() << params.error().message;
    return nullptr;
  }
  common_chat_parser_params parser(*params);
  parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  parser.parser.load(params->parser);
  return std::make_unique<AnswerParser>(parser);
}

std::string times(const std::string& text, size_t count) {
  std::string result;
  for (size_t i = 0; i < count; ++i) {
    result += text;
  }
  return result;
}

const std::vector<std::pair<const char*, const char*>> kCalls = {
    {"meta-llama-Llama-3.1-8B-Instruct.jinja", R"({"name": "read", "parameters": {"a": )"},
    {"mistralai-Mistral-Nemo-Instruct-2407.jinja", R"([TOOL_CALLS][{"name": "read", "arguments": {"a": )"},
    {"Qwen-Qwen2.5-7B-Instruct.jinja", "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"a\": "},
};

TEST(AnswerParser, BracketsWithinBracketsDoNotEndTheProcess) {
  for (const auto& [name, call] : kCalls) {
    for (const char* unit : {"[", "{\"a\":", "[{\"a\":["}) {
      for (const size_t count : {1000, 100000}) {
        const auto parser = parser_of(name);
        ASSERT_NE(parser, nullptr);
        parser->add(call);
        parser->add(times(unit, count));
        parser->finish();
      }
    }
  }
}

TEST(AnswerParser, WhatIsTooDeepIsContent) {
  const auto parser = parser_of(kCalls.front().first);
  ASSERT_NE(parser, nullptr);
  const std::string deep = kCalls.front().second + times("[", AnswerParser::kDeepestAnswer + 1);
  EXPECT_EQ(parser->add(deep).content, deep);
  EXPECT_EQ(parser->add("[[").content, "[[");
  EXPECT_EQ(parser->finish().content, "");
}

TEST(AnswerParser, DeepCallsAreCalls) {
  const auto parser = parser_of(kCalls.front().first);
  ASSERT_NE(parser, nullptr);
  const std::string value = times("[", 300) + "1" + times("]", 300);
  auto piece = parser->add(kCalls.front().second + value + "}}");
  const AnswerPiece rest = parser->finish();
  piece.tool_calls.insert(piece.tool_calls.end(), rest.tool_calls.begin(), rest.tool_calls.end());
  ASSERT_EQ(piece.tool_calls.size(), 1U);
  EXPECT_NE(piece.tool_calls[0].arguments.find(times("[", 300)), std::string::npos);
}

TEST(AnswerParser, TextIsNeverLost) {
  for (const auto& [name, call] : kCalls) {
    for (const std::string rest :
         {"[1]}}\n\nAnd so on.\n", "[1]}}\n{\"name\": \"read\", \"par", "[1", "nothing}}", "[1]}", "[1]}}}}"}) {
      for (const size_t step : {1, 3, 1000}) {
        const auto parser = parser_of(name);
        ASSERT_NE(parser, nullptr);
        const std::string text = call + rest;
        AnswerPiece piece;
        for (size_t i = 0; i < text.size(); i += step) {
          piece.append(parser->add(text.substr(i, step)));
        }
        piece.append(parser->finish());
        EXPECT_FALSE(piece.content.empty() && piece.tool_calls.empty()) << name << " " << step << "\n" << text;
      }
    }
  }
}

constexpr size_t kToken = 5;

std::string long_text(size_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    text += "Word " + std::to_string(text.size()) + " of <b>many</b>, {\"or\": [\"so\"]}, \U0001F98A.\n";
  }
  return text;
}

// What is given of a long answer. After each token, so many bytes of thoughts and content are held back at most.
AnswerPiece streamed(const std::string& thought, const std::string& content, const std::string& call,
                     size_t most_held) {
  const auto parser = parser_of("Qwen-Qwen3-0.6B.jinja");
  const std::string before = "<think>";
  const std::string between = "</think>\n\n";
  const std::string text = before + thought + between + content + call;
  AnswerPiece given;
  for (size_t i = 0; parser != nullptr && i < text.size(); i += kToken) {
    given.append(parser->add(text.substr(i, kToken)));
    const size_t said = std::min(i, text.size() - call.size());
    const size_t held = said - std::min(said, given.thinking.size() + given.content.size());
    EXPECT_LE(held, most_held + before.size() + between.size()) << i;
  }
  given.append(parser->finish());
  return given;
}

const std::string kLongCall = "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"a\": [\"";

TEST(AnswerParser, LongAnswersAreGivenAsTheyCome) {
  const std::string thought = long_text(20000);
  const std::string content = long_text(20000);
  const std::string argument(10000, 'x');
  const AnswerPiece given = streamed(thought, content, kLongCall + argument + "\"]}}\n</tool_call>", 3 * kToken);
  EXPECT_EQ(given.thinking.substr(0, thought.size() - 1), thought.substr(0, thought.size() - 1));
  EXPECT_EQ(given.content.substr(0, content.size() - 1), content.substr(0, content.size() - 1));
  ASSERT_EQ(given.tool_calls.size(), 1U);
  EXPECT_EQ(given.tool_calls[0].arguments, "{\"a\": [\"" + argument + "\"]}");
}

double processor_time(size_t bytes) {
  const auto now = [] {
    timespec time = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const std::string text = long_text(bytes);
  const double begin = now();
  streamed(text, text, kLongCall + std::string(bytes, 'x'), text.size());
  return now() - begin;
}

TEST(AnswerParser, ATokenOfALongAnswerTakesNoLongerThanOneOfAShort) {
  EXPECT_LT(processor_time(48000), 8 * processor_time(12000));
}

}  // namespace
}  // namespace hypura
