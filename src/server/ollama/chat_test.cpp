#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/ollama/ollama_for_test.h"

namespace hypura {
namespace {

using OllamaChat = OllamaTest;

constexpr const char* kChatHello = R"({"model":"stories","messages":[{"role":"user","content":"Hi"}]})";

TEST_F(OllamaChat, StreamsMessages) {
  AnswerPiece thought;
  thought.thinking = "hm";
  api.generator().pieces = {thought, text_piece("Hello")};
  api.generator().end.answer_tokens = 2;
  const std::vector<Json> records = records_of(api.post("/api/chat", kChatHello));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0]["message"], Json({{"role", "assistant"}, {"content", ""}, {"thinking", "hm"}}));
  EXPECT_EQ(records[1]["message"], Json({{"role", "assistant"}, {"content", "Hello"}}));
  EXPECT_EQ(records[1]["done"], false);
  EXPECT_EQ(records[2]["message"], Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(records[2]["done"], true);
  EXPECT_EQ(records[2]["done_reason"], "stop");
  EXPECT_EQ(records[2]["eval_count"], 2);
  EXPECT_FALSE(records[2].contains("response"));
  EXPECT_FALSE(records[2].contains("context"));
}

TEST_F(OllamaChat, SpacesComeBeforeARecordThatIsLongInComing) {
  api.generator().hold = true;
  api.generator().pieces = {text_piece("Hello")};
  const auto exchange = api.post("/api/chat", kChatHello);
  exchange->quiet();
  EXPECT_TRUE(exchange->streamed());
  exchange->quiet();
  exchange->quiet();
  EXPECT_EQ(exchange->body(), "  ") << "each line is a record: JSON, which may begin with spaces";
  api.generator().play(1);
  EXPECT_EQ(records_of(exchange).size(), 2U);
}

TEST_F(OllamaChat, SpacesComeBeforeAnObjectThatIsLongInComing) {
  api.generator().hold = true;
  const auto exchange =
      api.post("/api/chat", R"({"model":"stories","messages":[{"role":"user","content":"Hi"}],"stream":false})");
  exchange->quiet();
  EXPECT_EQ(exchange->body(), " ");
  api.generator().play(1);
  EXPECT_EQ(json_of(exchange)["done"], true);
}

TEST_F(OllamaChat, AnswersWithOneObjectWithoutStream) {
  api.generator().pieces = {text_piece("Hel"), text_piece("lo")};
  const Json json = json_of(
      api.post("/api/chat", R"({"model":"stories","messages":[{"role":"user","content":"Hi"}],"stream":false})"));
  EXPECT_EQ(json["message"], Json({{"role", "assistant"}, {"content", "Hello"}}));
  EXPECT_EQ(json["done"], true);
}

TEST_F(OllamaChat, ToolCallsComeWholeAndCounted) {
  api.host.card().tools = true;
  AnswerPiece first;
  first.tool_calls = {{"", "weather", R"({"city":"Bern","days":[1,2]})"}};
  AnswerPiece second;
  second.tool_calls = {{"call_mine0000", "time", "{}"}};
  api.generator().pieces = {first, second};
  const std::vector<Json> records = records_of(api.post("/api/chat", kChatHello));
  ASSERT_EQ(records.size(), 3U);
  const Json& call = records[0]["message"]["tool_calls"][0];
  const std::string id = call["id"];
  EXPECT_EQ(id.size(), 13U);
  EXPECT_EQ(id.substr(0, 5), "call_");
  EXPECT_EQ(call["function"], parse_json(R"({"index":0,"name":"weather","arguments":{"city":"Bern","days":[1,2]}})"));
  EXPECT_EQ(records[0]["message"]["content"], "");
  EXPECT_EQ(records[0]["done"], false);
  EXPECT_EQ(records[1]["message"]["tool_calls"][0]["id"], "call_mine0000");
  EXPECT_EQ(records[1]["message"]["tool_calls"][0]["function"]["index"], 1);
  EXPECT_EQ(records[2]["done_reason"], "stop");
  EXPECT_FALSE(records[2]["message"].contains("tool_calls"));
}

TEST_F(OllamaChat, PassesMessagesAndToolsOn) {
  api.host.card().tools = true;
  api.post("/api/chat", R"({"model":"stories","truncate":false,"shift":false,"messages":[
      {"role":"SYSTEM","content":"s"},
      {"role":"assistant","content":"","thinking":"t","tool_calls":[
          {"id":"call_1","function":{"index":0,"name":"f","arguments":{"b":1,"a":2}}},{"function":{"name":"g"}}]},
      {"role":"tool","content":"r","tool_name":"f","tool_call_id":"call_1"},
      {"role":"user"}],
      "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":
          {"type":"object","required":["b"],"properties":{"b":{"type":["string","null"]},"a":{"type":"integer"}}}}},
          {"function":{"name":"g"}}]})");
  ASSERT_EQ(api.generator().requests.size(), 1U);
  const AnswerRequest& request = api.generator().requests[0];
  EXPECT_FALSE(request.truncate);
  EXPECT_FALSE(request.shift);
  ASSERT_EQ(request.messages.size(), 4U);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].thinking, "t");
  ASSERT_EQ(request.messages[1].tool_calls.size(), 2U);
  EXPECT_EQ(request.messages[1].tool_calls[0].id, "call_1");
  EXPECT_EQ(request.messages[1].tool_calls[0].name, "f");
  EXPECT_EQ(request.messages[1].tool_calls[0].arguments, R"({"b":1,"a":2})");
  EXPECT_EQ(request.messages[1].tool_calls[1].arguments, "{}");
  EXPECT_EQ(request.messages[2].tool_name, "f");
  EXPECT_EQ(request.messages[2].tool_call_id, "call_1");
  EXPECT_EQ(request.messages[3].content, "");
  ASSERT_EQ(request.tools.size(), 2U);
  EXPECT_EQ(request.tools[0].name, "f");
  EXPECT_EQ(request.tools[0].description, "d");
  EXPECT_EQ(
      request.tools[0].parameters,
      R"({"type":"object","required":["b"],"properties":{"b":{"type":["string","null"]},"a":{"type":"integer"}}})");
  EXPECT_EQ(request.tools[1].parameters, R"({"type":"object","properties":{}})");
}

TEST_F(OllamaChat, TwoUsersInARowAndALateSystemMessageAreLegal) {
  api.post("/api/chat", R"({"model":"stories","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},
      {"role":"system","content":"c"}]})");
  EXPECT_EQ(api.generator().requests.at(0).messages.size(), 3U);
}

TEST_F(OllamaChat, LoadsAndUnloadsWithoutMessages) {
  const Json loaded = json_of(api.post("/api/chat", R"({"model":"stories","messages":[]})"));
  EXPECT_EQ(loaded["message"], Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(loaded["done_reason"], "load");
  EXPECT_EQ(loaded["done"], true);
  const Json unloaded = json_of(api.post("/api/chat", R"({"model":"stories","keep_alive":0})"));
  EXPECT_EQ(unloaded["message"], Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(unloaded["done_reason"], "unload");
  EXPECT_EQ(api.host.unloads, 1);
}

TEST_F(OllamaChat, RefusesWhatIsWrong) {
  const std::string path = "/api/chat";
  const auto with = [](const std::string& messages, const std::string& more = "") {
    return R"({"model":"stories","messages":)" + messages + more + "}";
  };
  expect_error(path, R"({"messages":[{"role":"user","content":"x"}]})", 400, "model is required");
  expect_error(path, R"({"model":"other:1b","messages":[]})", 404, "model 'other:1b' not found");
  expect_error(path, R"({"model":true})", 400,
               "json: cannot unmarshal bool into Go struct field ChatRequest.model of type string");
  expect_error(path, with(R"("hi")"), 400,
               "json: cannot unmarshal string into Go struct field ChatRequest.messages of type array");
  expect_error(path, with(R"([1])"), 400,
               "json: cannot unmarshal number into Go value of type ChatRequest.messages: it must be an object");
  expect_error(path, with(R"([{"role":"user","content":[]}])"), 400,
               "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string");
  expect_error(path, with(R"([{"role":"wizard","content":"x"}])"), 400,
               "invalid role: \"wizard\", role must be one of [system, user, assistant, tool]");
  expect_error(path, with(R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}])"), 400,
               "json: cannot unmarshal string into Go struct field "
               "ChatRequest.messages.tool_calls.function.arguments of type object");
  expect_error(path, with(R"([{"role":"user","content":"x","images":["aGk="]}])"), 400,
               "\"stories\" does not support vision");
  expect_error(path, with(R"([{"role":"user","content":"x"}])", R"(,"tools":[{"function":{"name":"f"}}])"), 400,
               "\"stories\" does not support tools");
  expect_error(path, with(R"([{"role":"user","content":"x"}])", R"(,"tools":[{"type":"function"}])"), 400,
               "ChatRequest.tools: each tool needs a function with a name");
  expect_error(path, with(R"([{"role":"user","content":"x"}])", R"(,"think":true)"), 400,
               "\"stories\" does not support thinking");
  expect_error(path, with(R"([{"role":"user","content":"x"}])", R"(,"options":"fast")"), 400,
               "json: cannot unmarshal string into Go struct field ChatRequest.options of type object");
}

TEST_F(OllamaChat, AnEmptyListOfToolsOrImagesIsNone) {
  api.post("/api/chat", R"({"model":"stories","tools":[],"messages":[{"role":"user","content":"x","images":[]}]})");
  EXPECT_EQ(api.generator().requests.size(), 1U);
}

TEST_F(OllamaChat, APromptTooLongIsRefusedWithoutAStream) {
  const std::string text =
      "prompt is too long: the prompt (9123 tokens) exceeds the available context size (8192 tokens)";
  api.generator().refusal = Error{ErrorCode::kContextFull, text};
  expect_error("/api/chat", kChatHello, 400, text);
}

TEST_F(OllamaChat, AFullQueueIsToldInOllamasWords) {
  api.generator().refusal = Error{ErrorCode::kBusy, "512 answers are waiting"};
  expect_error("/api/chat", kChatHello, 503, "server busy, please try again.  maximum pending requests exceeded");
}

TEST_F(OllamaChat, AnImageInAToolsResultIsLeftOutWithANote) {
  expect_error("/api/chat", R"({"model":"stories","messages":[{"role":"user","content":"x","images":["AAAA"]}]})", 400,
               "\"stories\" does not support vision");
  api.post("/api/chat", R"({"model":"stories","messages":[{"role":"user","content":"x"},
      {"role":"tool","content":"see","images":["AAAA"]},{"role":"tool","content":"","images":["AAAA"]}]})");
  ASSERT_EQ(api.generator().requests.size(), 1U);
  EXPECT_EQ(api.generator().requests[0].messages[1].content, "see\n[image left out: the model reads text only]");
  EXPECT_EQ(api.generator().requests[0].messages[2].content, "[image left out: the model reads text only]");
}

}  // namespace
}  // namespace hypura
