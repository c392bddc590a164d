#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "server/ollama/ollama_for_test.h"

namespace hypura {
namespace {

using OllamaGenerate = OllamaTest;

AnswerEnd usual_end() {
  AnswerEnd end;
  end.prompt_tokens = 5;
  end.cached_prompt_tokens = 2;
  end.answer_tokens = 3;
  end.prompt_seconds = 0.5;
  end.answer_seconds = 0.25;
  end.tokens = {1, 2, 3};
  return end;
}

TEST_F(OllamaGenerate, StreamsRecordsAndADoneRecord) {
  api.generator().pieces = {text_piece("Once"), text_piece(" upon")};
  api.generator().end = usual_end();
  api.host.load_seconds = 2;
  const auto exchange = api.post("/api/generate", R"({"model":"Stories","prompt":"Tell"})");
  EXPECT_EQ(exchange->status(), 200);
  EXPECT_TRUE(exchange->done());
  EXPECT_EQ(exchange->pieces().size(), 3U);
  const std::vector<Json> records = records_of(exchange);
  ASSERT_EQ(records.size(), 3U);
  for (const Json& record : records) {
    EXPECT_EQ(record["model"], "Stories");
    EXPECT_EQ(record["created_at"].get<std::string>().back(), 'Z');
    EXPECT_FALSE(record.contains("message"));
    EXPECT_FALSE(record.contains("thinking"));
    EXPECT_FALSE(record.contains("logprobs"));
  }
  EXPECT_EQ(records[0]["response"], "Once");
  EXPECT_EQ(records[0]["done"], false);
  EXPECT_FALSE(records[0].contains("done_reason"));
  EXPECT_EQ(records[1]["response"], " upon");
  const Json& last = records[2];
  EXPECT_EQ(last["response"], "");
  EXPECT_EQ(last["done"], true);
  EXPECT_EQ(last["done_reason"], "stop");
  EXPECT_EQ(last["context"], Json({1, 2, 3}));
  EXPECT_GT(last["total_duration"], 0);
  EXPECT_EQ(last["load_duration"], 2'000'000'000);
  EXPECT_EQ(last["prompt_eval_count"], 5);
  EXPECT_EQ(last["prompt_eval_duration"], 500'000'000);
  EXPECT_EQ(last["eval_count"], 3);
  EXPECT_EQ(last["eval_duration"], 250'000'000);
  EXPECT_EQ(api.host.leases, 0);
  EXPECT_EQ(api.metrics.numbers().answers.at(StopReason::kEndOfText), 1U);
}

TEST_F(OllamaGenerate, AnswersWithOneObjectWithoutStream) {
  api.generator().pieces = {text_piece("Once"), text_piece(" upon")};
  api.generator().end = usual_end();
  const auto exchange = api.post("/api/generate", R"({"model":"stories","prompt":"Tell","stream":false})");
  EXPECT_FALSE(exchange->streamed());
  EXPECT_EQ(exchange->head().content_type, "application/json; charset=utf-8");
  const Json json = json_of(exchange);
  EXPECT_EQ(json["response"], "Once upon");
  EXPECT_EQ(json["done"], true);
  EXPECT_EQ(json["done_reason"], "stop");
  EXPECT_EQ(json["context"], Json({1, 2, 3}));
  EXPECT_EQ(json["eval_count"], 3);
}

TEST_F(OllamaGenerate, EveryLastRecordHasAllFigures) {
  const std::pair<const char*, const char*> requests[] = {
      {"/api/generate", R"({"model":"stories","prompt":"Tell","stream":false})"},
      {"/api/generate", R"({"model":"stories"})"},
      {"/api/generate", R"({"model":"stories","keep_alive":0})"},
      {"/api/chat", R"({"model":"stories","messages":[{"role":"user","content":"x"}],"stream":false})"},
      {"/api/chat", R"({"model":"stories","messages":[]})"}};
  for (const auto& [path, body] : requests) {
    const Json json = json_of(api.post(path, body));
    EXPECT_EQ(json["done"], true) << body;
    for (const char* name : {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration",
                             "eval_count", "eval_duration"}) {
      EXPECT_TRUE(json.contains(name) && json[name].is_number_integer()) << name << " of " << body;
    }
  }
}

TEST_F(OllamaGenerate, TellsWhyItEnded) {
  const std::vector<std::pair<StopReason, std::string>> table = {{StopReason::kEndOfText, "stop"},
                                                                 {StopReason::kStopString, "stop"},
                                                                 {StopReason::kLength, "length"},
                                                                 {StopReason::kContextFull, "length"}};
  for (const auto& [stop, reason] : table) {
    api.generator().end.stop = stop;
    const Json json = json_of(api.post("/api/generate", R"({"model":"stories","prompt":"Tell","stream":false})"));
    EXPECT_EQ(json["done_reason"], reason);
  }
}

TEST_F(OllamaGenerate, PassesTheRequestOn) {
  api.post("/api/generate", R"({"model":"stories","prompt":"Tell","system":"Be short","context":[7,8],
      "options":{"temperature":0,"num_predict":9,"num_ctx":100000},"format":"json","keep_alive":"10m",
      "logprobs":true,"top_logprobs":3})");
  ASSERT_EQ(api.generator().requests.size(), 1U);
  const AnswerRequest& request = api.generator().requests[0];
  ASSERT_EQ(request.messages.size(), 2U);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[0].content, "Be short");
  EXPECT_EQ(request.messages[1].role, "user");
  EXPECT_EQ(request.messages[1].content, "Tell");
  EXPECT_EQ(request.prompt, std::nullopt);
  EXPECT_EQ(request.context, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(request.sampling.temperature, 0.0F);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.context_tokens, 4096U);  // no more than the model was opened with
  EXPECT_EQ(request.json_schema, "{}");
  EXPECT_EQ(request.think, std::nullopt);
  EXPECT_TRUE(request.truncate);
  EXPECT_TRUE(request.shift);
  EXPECT_TRUE(request.logprobs);
  EXPECT_EQ(request.top_logprobs, 3);
  EXPECT_EQ(api.host.keeps.at(0)->time, std::chrono::minutes(10));
}

TEST_F(OllamaGenerate, ARawPromptStandsAsItIs) {
  api.host.card().thinking = true;
  api.generator().end = usual_end();
  const Json json = json_of(api.post("/api/generate", R"({"model":"stories","prompt":"[INST]","raw":true,
      "stream":false})"));
  EXPECT_FALSE(json.contains("context"));
  const AnswerRequest& request = api.generator().requests.at(0);
  EXPECT_EQ(request.prompt, "[INST]");
  EXPECT_TRUE(request.messages.empty());
  EXPECT_EQ(request.think, std::nullopt);
}

TEST_F(OllamaGenerate, AModelWithoutATemplateCompletes) {
  api.host.card().chat_template = "";
  api.post("/api/generate", R"({"model":"stories","prompt":"Once"})");
  api.post("/api/generate", R"({"model":"stories","prompt":"Once","system":"A tale."})");
  EXPECT_EQ(api.generator().requests.at(0).prompt, "Once");
  EXPECT_EQ(api.generator().requests.at(1).prompt, "A tale.\n\nOnce");
}

TEST_F(OllamaGenerate, DoesNotCutAPromptWhoseContextMayNotShift) {
  api.post("/api/generate", R"({"model":"stories","prompt":"x","shift":false})");
  api.post("/api/generate", R"({"model":"stories","prompt":"x","truncate":false})");
  EXPECT_FALSE(api.generator().requests.at(0).truncate);
  EXPECT_FALSE(api.generator().requests.at(0).shift);
  EXPECT_FALSE(api.generator().requests.at(1).truncate);
  EXPECT_TRUE(api.generator().requests.at(1).shift);
}

TEST_F(OllamaGenerate, LoadsWithoutAPrompt) {
  for (const char* body : {R"({"model":"stories"})", R"({"model":"stories","prompt":"","keep_alive":-1})",
                           R"({"model":"stories","prompt":null,"stream":false})"}) {
    const auto exchange = api.post("/api/generate", body);
    EXPECT_FALSE(exchange->streamed());
    const Json json = json_of(exchange);
    EXPECT_EQ(json["response"], "");
    EXPECT_EQ(json["done"], true);
    EXPECT_EQ(json["done_reason"], "load");
  }
  EXPECT_EQ(api.host.keeps.size(), 3U);
  EXPECT_LT(api.host.keeps[1]->time, Nanoseconds(0));
  EXPECT_EQ(api.host.leases, 0);
  EXPECT_TRUE(api.generator().requests.empty());
}

TEST_F(OllamaGenerate, UnloadsWithoutAPromptAndTime) {
  for (const char* body : {R"({"model":"stories","keep_alive":0})", R"({"model":"stories","keep_alive":"0s"})"}) {
    const Json json = json_of(api.post("/api/generate", body));
    EXPECT_EQ(json["done_reason"], "unload");
    EXPECT_EQ(json["done"], true);
  }
  EXPECT_EQ(api.host.unloads, 2);
  EXPECT_TRUE(api.host.keeps.empty());
}

TEST_F(OllamaGenerate, APromptWithoutTimeUnloadsAfterTheAnswer) {
  api.post("/api/generate", R"({"model":"stories","prompt":"x","keep_alive":0})");
  EXPECT_EQ(api.host.keeps.at(0)->time, Nanoseconds(0));
  EXPECT_EQ(api.host.unloads, 0);
}

TEST_F(OllamaGenerate, RefusesWhatIsWrong) {
  const std::string path = "/api/generate";
  expect_error(path, "", 400, "missing request body");
  expect_error(path, "{", 400, "unexpected EOF: the JSON ends too early");
  expect_error(path, "[]", 400,
               "json: cannot unmarshal array into Go value of type GenerateRequest: it must be an object");
  expect_error(path, "{}", 400, "model is required");
  expect_error(path, R"({"model":5})", 400,
               "json: cannot unmarshal number into Go struct field GenerateRequest.model of type string");
  expect_error(path, R"({"model":"none","prompt":"x"})", 404, "model 'none' not found");
  expect_error(path, R"({"model":"stories","prompt":"x","top_logprobs":21})", 400,
               "top_logprobs must be between 0 and 20");
  expect_error(path, R"({"model":"stories","prompt":"x","top_logprobs":-1})", 400,
               "top_logprobs must be between 0 and 20");
  expect_error(path, R"({"model":"stories","prompt":"x","keep_alive":"abc"})", 400, "time: invalid duration \"abc\"");
  expect_error(path, R"({"model":"stories","prompt":"x","format":"xml"})", 400,
               "invalid format: \"xml\"; expected \"json\" or a valid JSON Schema object");
  expect_error(path, R"({"model":"stories","prompt":"x","options":{"num_predict":"5"}})", 400,
               "option \"num_predict\" must be of type integer");
  expect_error(path, R"({"model":"stories","prompt":"x","raw":true,"system":"s"})", 400,
               "raw mode does not support template, system, or context");
  expect_error(path, R"({"model":"stories","prompt":"x","raw":true,"context":[1]})", 400,
               "raw mode does not support template, system, or context");
  expect_error(path, R"({"model":"stories","prompt":"x","suffix":"y"})", 400, "\"stories\" does not support insert");
  expect_error(path, R"({"model":"stories","prompt":"x","images":["aGk="]})", 400,
               "\"stories\" does not support vision");
  expect_error(path, R"({"model":"stories","prompt":"x","think":true})", 400, "\"stories\" does not support thinking");
  expect_error(path, R"({"model":"stories","prompt":"x","think":"high"})", 400,
               "\"stories\" does not support thinking");
  expect_error(path, R"({"model":"stories","prompt":"x","think":"hard"})", 400,
               "invalid think value: \"hard\" (must be \"high\", \"medium\", \"low\", \"max\", true, or false)");
  expect_error(path, R"({"model":"stories","prompt":"x","template":"{{ .Prompt }}"})", 400,
               "template is not supported: this server uses the model's own chat template; send the finished prompt "
               "with \"raw\": true instead");
}

TEST_F(OllamaGenerate, NullAndUnknownFieldsAreAsIfAbsent) {
  api.post("/api/generate", R"({"model":"stories","prompt":"x","system":null,"template":null,"suffix":null,
      "context":null,"raw":null,"images":null,"options":null,"keep_alive":null,"format":null,"think":null,
      "stream":null,"truncate":null,"shift":null,"logprobs":null,"top_logprobs":null,"whatever":1})");
  ASSERT_EQ(api.generator().requests.size(), 1U);
  EXPECT_EQ(api.generator().requests[0].messages.size(), 1U);
  EXPECT_EQ(api.generator().requests[0].json_schema, std::nullopt);
}

TEST_F(OllamaGenerate, ThinkingModelsThinkUnlessToldNotTo) {
  api.host.card().thinking = true;
  for (const char* think : {"null", "true", "\"low\"", "false"}) {
    api.post("/api/generate", std::string(R"({"model":"stories","prompt":"x","think":)") + think + "}");
  }
  EXPECT_EQ(api.generator().requests.at(0).think, true);
  EXPECT_EQ(api.generator().requests.at(1).think, true);
  EXPECT_EQ(api.generator().requests.at(2).think, true);
  EXPECT_EQ(api.generator().requests.at(3).think, false);
  EXPECT_EQ(api.generator().requests.at(1).effort, "");
  EXPECT_EQ(api.generator().requests.at(2).effort, "low");
}

TEST_F(OllamaGenerate, OtherModelsMayBeToldNotToThink) {
  api.post("/api/generate", R"({"model":"stories","prompt":"x","think":false})");
  EXPECT_EQ(api.generator().requests.at(0).think, std::nullopt);
}

TEST_F(OllamaGenerate, WritesThinkingAndLogprobs) {
  AnswerPiece piece = text_piece("yes");
  piece.thinking = "hm";
  piece.logprobs = {{"yes", -0.5F, {{"yes", -0.5F}, {"no", -std::numeric_limits<float>::infinity()}}}};
  api.generator().pieces = {piece};
  const Json json =
      json_of(api.post("/api/generate", R"({"model":"stories","prompt":"x","logprobs":true,"stream":false})"));
  EXPECT_EQ(json["thinking"], "hm");
  const Json expected = parse_json(R"([{"token":"yes","logprob":-0.5,"bytes":[121,101,115],"top_logprobs":[
      {"token":"yes","logprob":-0.5,"bytes":[121,101,115]},
      {"token":"no","logprob":-9999.0,"bytes":[110,111]}]}])")
                            .value();
  EXPECT_EQ(json["logprobs"], expected);
}

TEST_F(OllamaGenerate, ShowsThePromptInsteadOfRunningIt) {
  const Json json =
      json_of(api.post("/api/generate", R"({"model":"stories","prompt":"x","system":"s","_debug_render_only":true})"));
  EXPECT_EQ(json["_debug_info"]["rendered_template"], "system: s\nuser: x\n");
  EXPECT_EQ(json["_debug_info"]["image_count"], 0);
  EXPECT_TRUE(api.generator().requests.empty());
  EXPECT_EQ(api.host.leases, 0);
}

}  // namespace
}  // namespace hypura
