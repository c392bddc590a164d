// Every chat template that comes with llama.cpp, over two kinds of vocabularies: whatever a model says, its answer is
// what was asked for.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "chat.h"
#include "chat/templates_for_test.h"
#include "llama.h"
#include "llama/tokenizer/control_text.h"
#include "output/answer_rest.h"
#include "output/answer_sampler.h"
#include "output/output_pipeline.h"
#include "output/requests_for_test.h"

namespace hypura {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPersonSchema =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":8},)"
    R"("age":{"type":"integer","minimum":0,"maximum":99}},"required":["name","age"],"additionalProperties":false})";
constexpr const char* kWeatherSchema =
    R"({"type":"object","properties":{"days":{"type":"integer","minimum":1,"maximum":9}},"required":["days"]})";

struct Wanted {
  std::string name;
  bool schema = false;
  bool tools = false;
  ToolChoice choice = ToolChoice::kAuto;
  bool after_result = false;
  bool one_call = false;
};

const std::vector<Wanted> kWanted = {
    {"anything"},
    {"a schema", true},
    {"tools", false, true},
    {"tools after a result", false, true, ToolChoice::kAuto, true},
    {"a call", false, true, ToolChoice::kRequired},
    {"a call after a result", false, true, ToolChoice::kRequired, true},
    {"one call", false, true, ToolChoice::kRequired, false, true},
    {"one call or none", false, true, ToolChoice::kAuto, false, true},
    {"no call", false, true, ToolChoice::kNone},
    {"a schema or a call", true, true},
    {"a schema or a call after a result", true, true, ToolChoice::kAuto, true},
    {"a schema and no call", true, true, ToolChoice::kNone},
};

AnswerRequest request_of(const Wanted& wanted) {
  AnswerRequest request;
  request.messages = {says("user", "How warm is it in Oslo?")};
  if (wanted.after_result) {
    request.messages.push_back(says("assistant", ""));
    request.messages.back().tool_calls = {{"abcdefgh1", "get_weather", R"({"days":1})"}};
    request.messages.push_back(says("tool", "-3 C"));
    request.messages.back().tool_name = "get_weather";
    request.messages.back().tool_call_id = "abcdefgh1";
  }
  if (wanted.tools) {
    request.tools = {{"get_weather", "Tells the weather.", kWeatherSchema},
                     {"stop_all", "Stops.", R"({"type":"object","properties":{}})"}};
  }
  request.tool_choice = wanted.choice;
  request.parallel_tool_calls = !wanted.one_call;
  if (wanted.schema) {
    request.json_schema = kPersonSchema;
  }
  return request;
}

// How much a model would like each token that says anything, and would like to come to an end.
std::vector<float> haste(Vocabulary vocab) {
  std::vector<float> bias;
  for (int32_t token = 0; token < vocab.size(); ++token) {
    const std::string text = token_text(vocab, token, false);
    float wish = vocab.ends_text(token) ? 5.0F : text.size() > 4 ? -1.0F : 0.0F;
    for (const char c : text) {
      wish += std::string_view("\"}<>").find(c) != std::string_view::npos ? 2.0F : c == ' ' || c == '\n' ? -1.0F : 0.0F;
    }
    bias.push_back(wish);
  }
  return bias;
}

struct Said {
  AnswerPiece piece;
  std::string text;
  std::string fault;
  bool ended = false;
};

// Tokens that go on with `script` after `said` are liked best, long ones more.
void wish(Vocabulary vocab, const std::string& script, const std::string& said, std::vector<float>& logits) {
  constexpr float kVeryMuch = 1000;
  if (!script.empty() && said == script) {
    logits[static_cast<size_t>(llama_vocab_eos(vocab.get()))] = kVeryMuch;
  }
  if (said.size() >= script.size() || script.compare(0, said.size(), said) != 0) {
    return;
  }
  for (int32_t token = 0; token < vocab.size(); ++token) {
    const std::string text = token_text(vocab, token, true);
    if (!text.empty() && script.compare(said.size(), text.size(), text) == 0) {
      logits[static_cast<size_t>(token)] = kVeryMuch + static_cast<float>(text.size());
    }
  }
}

// The answer of a model that would like to say `script`, and then anything.
Said answer(const ModelOfTemplate& model, const AnswerRequest& request, const std::vector<float>& bias,
            const std::string& script) {
  constexpr int kMostTokens = 150;
  Said said;
  auto form = model.format().form(request);
  if (!form) {
    said.fault = form.error().message;
    return said;
  }
  SamplingOptions greedy;
  greedy.temperature = 0;
  auto sampler = AnswerSampler::create(greedy, model.vocab(), form->rules);
  if (!sampler) {
    said.fault = sampler.error().message;
    return said;
  }
  AnswerForm whole;
  whole.sampler = std::move(*sampler);
  whole.parser = std::move(form->parser);
  whole.shown = form->shown;
  whole.form_stops = form->stops;
  OutputPipeline pipeline(model.vocab(), std::move(whole));
  std::minstd_rand random(1);
  std::vector<float> logits;
  for (size_t i = 0; i < kMostTokens && !said.ended; ++i) {
    logits = bias;
    for (float& it : logits) {
      it += static_cast<float>(random() & 0xffffU) / 16384;
    }
    wish(model.vocab(), script, said.text, logits);
    AnswerStep step = pipeline.step(logits.data());
    said.text += step.token ? token_text(model.vocab(), *step.token, true) : "";
    said.piece.append(std::move(step.piece));
    said.fault = step.error ? step.error->message : "";
    said.ended = step.stop.has_value();
  }
  said.piece.append(pipeline.finish());
  return said;
}

bool is_person(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  return json.is_object() && json.size() == 2 && json.contains("name") && json["name"].is_string() &&
         json.contains("age") && json["age"].is_number_integer();
}

// What is wrong with an answer; empty when nothing is.
std::string fault_of(const Wanted& wanted, const Said& said) {
  if (!said.fault.empty() || !said.ended) {
    return said.fault;
  }
  for (const ToolCall& call : said.piece.tool_calls) {
    if (call.name != "get_weather" && call.name != "stop_all") {
      return "a call of no tool";
    }
  }
  if (wanted.one_call && said.piece.tool_calls.size() > 1) {
    return "calls beyond the one";
  }
  const bool called = !said.piece.tool_calls.empty();
  if (wanted.choice == ToolChoice::kRequired) {
    return called && is_blank(said.piece.content) ? "" : "not a call";
  }
  if (called && (!wanted.tools || wanted.choice == ToolChoice::kNone)) {
    return "a call";
  }
  if (wanted.schema && !(called && is_blank(said.piece.content)) && !is_person(said.piece.content)) {
    return "not of the schema";
  }
  return "";
}

// Templates that tell the model of tools but show it no form for calls.
const std::vector<std::string> kWithoutCalls = {"ibm-granite-granite-3.3-2B-Instruct"};

class AnswerFormMatrix : public testing::TestWithParam<std::tuple<VocabularyKind, int>> {
 protected:
  static constexpr int kParts = 4;

  // Calls `look` for each template of this part.
  template <class Look>
  void each(Look look) {
    const auto [kind, part] = GetParam();
    const std::vector<std::string> names = template_names();
    ASSERT_GT(names.size(), 60U);
    for (size_t i = static_cast<size_t>(part); i < names.size(); i += kParts) {
      const ModelOfTemplate& model = model_of_template(names[i], kind);
      SCOPED_TRACE(names[i]);
      if (bias_.empty()) {
        bias_ = haste(model.vocab());
      }
      tools_ = template_abilities(model.prompt().templates()).tools;
      calls_ = std::find(kWithoutCalls.begin(), kWithoutCalls.end(), names[i]) == kWithoutCalls.end();
      look(model);
    }
  }

  std::vector<float> bias_;
  bool tools_ = false;
  bool calls_ = false;
};

TEST_P(AnswerFormMatrix, AnswersAreWhatWasAskedFor) {
  each([&](const ModelOfTemplate& model) {
    for (const Wanted& wanted : kWanted) {
      if (wanted.tools && !tools_) {
        continue;
      }
      const Said said = answer(model, request_of(wanted), bias_, "");
      if (!calls_ && wanted.tools && (wanted.choice == ToolChoice::kRequired || wanted.schema)) {
        EXPECT_TRUE(wanted.choice == ToolChoice::kNone || !said.fault.empty()) << "refused, with a reason";
        continue;
      }
      EXPECT_EQ(fault_of(wanted, said), "") << wanted.name << "\n" << said.text << "\n" << said.piece.content;
    }
  });
}

// What the template makes of so many calls of the assistant's; empty where it shows none after such a prompt.
std::string calls_of(const ModelOfTemplate& model, const AnswerRequest& request, size_t count) {
  std::vector<ChatMessage> messages = request.messages;
  const auto before = model.format().render(request, messages);
  messages.push_back(says("assistant", ""));
  messages.back().tool_calls.resize(count, {"abcdefgh2", "get_weather", R"({"days":3})"});
  const auto after = model.format().render(request, messages);
  if (!before || !after || after->text.compare(0, before->text.size(), before->text) != 0 ||
      after->text.find("get_weather", before->text.size()) == std::string::npos) {
    return "";
  }
  std::string call = after->text.substr(before->text.size());
  // Where the prompt says that there are no thoughts, no thought ends.
  return call.rfind("</", 0) == 0 ? call.substr(call.find('>') + 1) : call;
}

TEST_P(AnswerFormMatrix, CallsAsTheTemplateShowsThemAreCalls) {
  int shown = 0;
  each([&](const ModelOfTemplate& model) {
    for (const Wanted& wanted : kWanted) {
      if (!wanted.tools || !tools_ || !calls_ || wanted.choice == ToolChoice::kNone || wanted.after_result) {
        continue;
      }
      AnswerRequest request = request_of(wanted);
      request.think = false;
      std::string call = calls_of(model, request, 1);
      if (call.empty()) {
        continue;
      }
      if (auto form = model.format().form(request); form && form->rules.forms.empty()) {
        call.resize(call.rfind('}') + 1);  // nothing holds the model from saying how the next message begins
      }
      const Said said = answer(model, request, bias_, call);
      if (!said.ended && said.fault.empty()) {
        continue;  // where it may not say the call so, it may say anything for long
      }
      EXPECT_FALSE(said.piece.tool_calls.empty()) << wanted.name << "\n" << call << "\n" << said.text << said.fault;
      // llama.cpp's grammars leave out what only some templates show, such as the call's id.
      const size_t arguments = call.rfind('3');
      if (!said.piece.tool_calls.empty() && said.text.compare(0, arguments, call, 0, arguments) == 0) {
        EXPECT_EQ(said.piece.tool_calls[0].name, "get_weather");
        EXPECT_EQ(Json::parse(said.piece.tool_calls[0].arguments), Json::parse(R"({"days":3})"));
        ++shown;
      }
    }
  });
  EXPECT_GT(shown, 10);
}

// A model that would make two calls makes one where one alone is wanted, and no text of the second is left.
TEST_P(AnswerFormMatrix, OneCallIsOneCall) {
  int shown = 0;
  each([&](const ModelOfTemplate& model) {
    for (const Wanted& wanted : kWanted) {
      if (!wanted.one_call || !tools_ || !calls_) {
        continue;
      }
      AnswerRequest request = request_of(wanted);
      request.think = false;
      const std::string calls = calls_of(model, request, 2);
      if (calls.empty()) {
        continue;
      }
      const Said said = answer(model, request, bias_, calls);
      if (!said.ended && said.fault.empty()) {
        continue;
      }
      EXPECT_EQ(said.piece.tool_calls.size(), 1U) << wanted.name << "\n" << calls << "\n" << said.text << said.fault;
      EXPECT_TRUE(is_blank(said.piece.content)) << wanted.name << "\n" << said.piece.content;
      ++shown;
    }
  });
  EXPECT_GT(shown, 10);
}

struct Malformed {
  std::string kind;
  std::string text;
  std::string name;  // of the tool in it
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// Answers with a call that is none. `before` and `after` are the marks of thoughts.
std::vector<Malformed> malformed(const std::string& call, const std::string& before, const std::string& after) {
  const std::string name = "get_weather";
  const std::string thought = after.empty() ? "" : before + "Hm, the weather." + after + "\n\n";
  std::vector<Malformed> all = {
      {"cut", thought + call.substr(0, call.rfind('3')), name},
      {"cut behind the name", thought + call.substr(0, call.find(name) + name.size()), name},
      {"wrong brackets", thought + replaced(replaced(call, "{", "["), "}", "]"), name},
      {"no tool", thought + replaced(call, name, "no_such_tool"), "no_such_tool"},
      {"text behind", thought + call + "\n\nAnd so on.", name},
      {"text before, and cut", thought + "Let me see.\n" + call.substr(0, call.rfind('3')), name},
  };
  if (!after.empty()) {
    all.push_back({"in the thoughts", before + "Hm, " + call + " perhaps." + after, name});
    all.push_back({"a half mark", before + "Hm." + after.substr(0, after.size() - 1) + "\n" + call, name});
    all.push_back({"cut in the thoughts", before + "Hm, " + call.substr(0, call.rfind('3')) + after, name});
  }
  return all;
}

// Whatever a model says in no form that its template knows, with thoughts before and without, is given as something.
TEST_P(AnswerFormMatrix, WhatIsNoCallIsNotLost) {
  int looked = 0;
  int thought = 0;
  each([&](const ModelOfTemplate& model) {
    if (!tools_ || !calls_) {
      return;
    }
    AnswerRequest request = request_of({"tools", false, true});
    request.think = false;
    const std::string call = calls_of(model, request, 1);
    if (call.empty() || call.rfind('3') == std::string::npos) {
      return;
    }
    for (const bool thinks : {false, true}) {
      request.think = thinks;
      const auto prompt = model.format().render(request, request.messages);
      ASSERT_TRUE(prompt) << prompt.error().message;
      const auto rules = model.format().form(request, &prompt->answer);
      ASSERT_TRUE(rules) << rules.error().message;
      const ThinkingMarks& marks = rules->rules.thinking;
      if (thinks && (marks.ends.empty() || (marks.start.empty() && !rules->rules.thinks))) {
        continue;
      }
      const std::string before = rules->rules.thinks ? "" : marks.start;
      for (const Malformed& it : malformed(call, thinks ? before : "", thinks ? marks.ends.front() : "")) {
        for (const size_t step : {3, 1000}) {
          const auto form = model.format().form(request, &prompt->answer);
          AnswerPiece piece;
          for (size_t i = 0; i < it.text.size(); i += step) {
            piece.append(form->parser->add(it.text.substr(i, step)));
          }
          piece.append(form->parser->finish());
          const bool given = (piece.content + piece.thinking).find(it.name) != std::string::npos;
          EXPECT_TRUE(given || !piece.tool_calls.empty())
              << it.kind << " " << step << "\n"
              << it.text << "\n[" << piece.thinking << "|" << piece.content << "]";
          ++looked;
          thought += thinks ? 1 : 0;
        }
      }
    }
  });
  EXPECT_GT(looked, 100);
  EXPECT_GT(thought, 50);
}

// Grammars allow any space there; the parsers of some templates know none, of others a line break.
TEST_P(AnswerFormMatrix, AnySpaceMayComeAfterThoughts) {
  int looked = 0;
  each([&](const ModelOfTemplate& model) {
    AnswerRequest request = request_of({"a schema", true});
    request.think = true;
    const auto prompt = model.format().render(request, request.messages);
    ASSERT_TRUE(prompt) << prompt.error().message;
    const auto form = model.format().form(request, &prompt->answer);
    ASSERT_TRUE(form) << form.error().message;
    const AnswerRules& rules = form->rules;
    if (rules.forms.size() != 1 || rules.thinking.ends.empty() || (rules.thinking.start.empty() && !rules.thinks)) {
      return;
    }
    for (const char* thought : {"Hm.", " Hm. ", ""}) {
      for (const char* space : {"", " ", "\t", "\n", "\n\n", "\r\n", " \n\t "}) {
        if (!rules.space_after_thinking && *space != 0) {
          continue;
        }
        const auto answers = model.format().form(request, &prompt->answer);
        const std::string text = (rules.thinks ? "" : rules.thinking.start) + thought + rules.thinking.ends.front() +
                                 rules.after_thinking + space + rules.forms[0].opening + R"({"name":"Bo","age":7})";
        AnswerPiece piece = answers->parser->add(text);
        piece.append(answers->parser->finish());
        EXPECT_TRUE(is_person(piece.content)) << text << "\n[" << piece.thinking << "|" << piece.content << "]";
        ++looked;
      }
    }
  });
  EXPECT_GT(looked, 20);
}

INSTANTIATE_TEST_SUITE_P(All, AnswerFormMatrix,
                         testing::Combine(testing::Values(VocabularyKind::kBpe, VocabularyKind::kSentencePiece),
                                          testing::Range(0, 4)));

}  // namespace
}  // namespace hypura
