#include "server/openai/chat_request.h"

#include <gtest/gtest.h>

#include <string>

namespace hypura::openai {
namespace {

constexpr uint32_t kContext = 4096;

Json with(const std::string& fields) {
  const std::string text =
      R"({"model":"m","messages":[{"role":"user","content":"Hi"}])" + (fields.empty() ? "" : "," + fields) + "}";
  return parse_json(text).value_or(Json());
}

AnswerRequest read(const std::string& fields) {
  const Result<CompletionRequest> request = read_chat_completion(with(fields), kContext);
  EXPECT_TRUE(request) << fields << ": " << (request ? "" : request.error().message);
  return request ? request->answer : AnswerRequest();
}

std::string error_of(const Json& json) {
  const Result<CompletionRequest> request = read_chat_completion(json, kContext);
  return request ? "" : request.error().message;
}

std::vector<ConversationMessage> messages_of(const std::string& messages) {
  const Json json = parse_json(R"({"model":"m","messages":)" + messages + "}").value_or(Json());
  const Result<CompletionRequest> request = read_chat_completion(json, kContext);
  EXPECT_TRUE(request) << messages << ": " << (request ? "" : request.error().message);
  return request ? request->answer.messages : std::vector<ConversationMessage>();
}

TEST(ChatRequest, DefaultsAreOpenaisWhereOllamaHasOthers) {
  const AnswerRequest request = read("");
  EXPECT_EQ(request.sampling.temperature, 1.0F);
  EXPECT_EQ(request.sampling.top_p, 1.0F);
  EXPECT_EQ(request.sampling.min_p, 0.0F);
  EXPECT_FALSE(request.sampling.seed);
  EXPECT_EQ(request.max_tokens, 40960);  // ten contexts
  EXPECT_TRUE(request.truncate);
  EXPECT_TRUE(request.shift);
  EXPECT_FALSE(request.think);
  EXPECT_FALSE(request.json_schema);
  EXPECT_EQ(request.tool_choice, ToolChoice::kAuto);
}

TEST(ChatRequest, ReadsOptions) {
  const AnswerRequest request = read(
      R"("temperature":0,"top_p":0.5,"frequency_penalty":-1,"presence_penalty":2,"seed":7,"stop":"end","max_tokens":9)");
  EXPECT_EQ(request.sampling.temperature, 0.0F);
  EXPECT_EQ(request.sampling.top_p, 0.5F);
  EXPECT_EQ(request.sampling.frequency_penalty, -1.0F);
  EXPECT_EQ(request.sampling.presence_penalty, 2.0F);
  EXPECT_EQ(request.sampling.seed, 7U);
  EXPECT_EQ(request.stop, std::vector<std::string>{"end"});
  EXPECT_EQ(request.max_tokens, 9);
}

TEST(ChatRequest, TheNewerLimitWins) {
  EXPECT_EQ(read(R"("max_completion_tokens":5)").max_tokens, 5);
  EXPECT_EQ(read(R"("max_tokens":9,"max_completion_tokens":5)").max_tokens, 5);
  EXPECT_EQ(read(R"("max_tokens":9,"max_completion_tokens":null)").max_tokens, 9);
  EXPECT_EQ(read(R"("max_tokens":-1)").max_tokens, 40960);
}

TEST(ChatRequest, StopsMayBeAList) {
  EXPECT_EQ(read(R"("stop":["a","","b"])").stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(read(R"("stop":null)").stop.empty());
}

TEST(ChatRequest, IgnoresWhatHasNoEffect) {
  EXPECT_EQ(
      read(R"("n":3,"logit_bias":{"5":1},"user":"u","parallel_tool_calls":false,"store":true,"seed":null)").max_tokens,
      40960);
}

TEST(ChatRequest, EffortSaysWhetherToThink) {
  EXPECT_EQ(read(R"("reasoning_effort":"none")").think, false);
  for (const char* effort : {"minimal", "low", "medium", "high", "max", "xhigh", "ultra"}) {
    EXPECT_EQ(read(std::string(R"("reasoning_effort":")") + effort + "\"").think, true) << effort;
  }
  EXPECT_EQ(read(R"("reasoning":{"effort":"low"})").think, true);
  EXPECT_EQ(read(R"("reasoning":{"effort":"low"})").effort, "low");
  EXPECT_EQ(read(R"("reasoning_effort":"xhigh")").effort, "xhigh");
  EXPECT_EQ(read(R"("reasoning_effort":"ultra")").effort, "max");
  EXPECT_EQ(read(R"("reasoning_effort":"none")").effort, "");
  EXPECT_EQ(read(R"("reasoning":{})").think, std::nullopt);
}

TEST(ChatRequest, VariablesForTheTemplate) {
  EXPECT_EQ(read(R"("chat_template_kwargs":{"a":[1],"b":"x"})").template_values, R"({"a":[1],"b":"x"})");
  EXPECT_EQ(read(R"("chat_template_kwargs":null)").template_values, "");
  const AnswerRequest off = read(R"("reasoning_effort":"high","chat_template_kwargs":{"enable_thinking":false,"c":1})");
  EXPECT_EQ(off.think, false);
  EXPECT_EQ(off.template_values, R"({"c":1})");
  EXPECT_EQ(read(R"("chat_template_kwargs":{"enable_thinking":true})").think, true);
}

TEST(ChatRequest, FormatBecomesASchema) {
  EXPECT_FALSE(read(R"("response_format":{"type":"text"})").json_schema);
  EXPECT_EQ(read(R"("response_format":{"type":"json_object"})").json_schema, "{}");
  EXPECT_EQ(read(R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}})")
                .json_schema,
            R"({"type":"object"})");
}

TEST(ChatRequest, Logprobs) {
  const AnswerRequest request = read(R"("logprobs":true,"top_logprobs":3)");
  EXPECT_TRUE(request.logprobs);
  EXPECT_EQ(request.top_logprobs, 3);
}

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}},
                {"type":"function","function":{"name":"g"}}])";

TEST(ChatRequest, ToolsAreDefinitions) {
  const AnswerRequest request = read(kTools);
  ASSERT_EQ(request.tools.size(), 2U);
  EXPECT_EQ(request.tools[0].name, "f");
  EXPECT_EQ(request.tools[0].description, "d");
  EXPECT_EQ(request.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(request.tools[1].parameters, R"({"type":"object","properties":{}})");
  EXPECT_EQ(request.tool_choice, ToolChoice::kAuto);
}

TEST(ChatRequest, ToolChoiceLimitsTheTools) {
  const auto choose = [](const std::string& choice) {
    return read(std::string(kTools) + ",\"tool_choice\":" + choice);
  };
  EXPECT_EQ(choose(R"("auto")").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(choose(R"("none")").tool_choice, ToolChoice::kNone);
  EXPECT_EQ(choose(R"("required")").tool_choice, ToolChoice::kRequired);
  AnswerRequest named = choose(R"({"type":"function","function":{"name":"g"}})");
  EXPECT_EQ(named.tool_choice, ToolChoice::kRequired);
  ASSERT_EQ(named.tools.size(), 1U);
  EXPECT_EQ(named.tools[0].name, "g");
  AnswerRequest allowed = choose(
      R"({"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}})");
  EXPECT_EQ(allowed.tool_choice, ToolChoice::kAuto);
  ASSERT_EQ(allowed.tools.size(), 1U);
  EXPECT_EQ(allowed.tools[0].name, "f");
}

TEST(ChatRequest, MessagesKeepTheirParts) {
  const auto messages = messages_of(R"([
      {"role":"developer","content":"d"},
      {"role":"User","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"reasoning":"r","tool_calls":[
          {"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},
          {"id":"call_2","type":"function","function":{"name":"g","arguments":""}}]},
      {"role":"tool","tool_call_id":"call_2","content":[{"type":"text","text":"done"}]},
      {"role":"user","content":""}])");
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].role, "user");
  EXPECT_EQ(messages[1].content, "a\nb");
  EXPECT_EQ(messages[2].thinking, "r");
  ASSERT_EQ(messages[2].tool_calls.size(), 2U);
  EXPECT_EQ(messages[2].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[2].tool_calls[1].arguments, "{}");
  EXPECT_EQ(messages[3].tool_name, "g");
  EXPECT_EQ(messages[3].tool_call_id, "call_2");
  EXPECT_EQ(messages[3].content, "done");
  EXPECT_EQ(messages[4].content, "");
}

TEST(ChatRequest, RefusesWrongFields) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature":"warm")",
       "json: cannot unmarshal string into Go struct field "
       "ChatCompletionRequest.temperature of type float64"},
      {R"("temperature":2.5)", "temperature must be between 0 and 2"},
      {R"("temperature":-1)", "temperature must be between 0 and 2"},
      {R"("top_p":1.1)", "top_p must be between 0 and 1"},
      {R"("presence_penalty":3)", "presence_penalty must be between -2 and 2"},
      {R"("max_tokens":0)", "max_tokens must be at least 1"},
      {R"("max_completion_tokens":-2)", "max_completion_tokens must be at least 1"},
      {R"("max_tokens":1.5)",
       "json: cannot unmarshal number 1.5 into Go struct field "
       "ChatCompletionRequest.max_tokens of type int"},
      {R"("stop":5)", "json: cannot unmarshal number into Go struct field ChatCompletionRequest.stop of type array"},
      {R"("stop":["a",5])",
       "json: cannot unmarshal number into Go struct field ChatCompletionRequest.stop of type string"},
      {R"("stream":"yes")",
       "json: cannot unmarshal string into Go struct field ChatCompletionRequest.stream of type bool"},
      {R"("chat_template_kwargs":[])",
       "json: cannot unmarshal array into Go struct field ChatCompletionRequest.chat_template_kwargs of type object"},
      {R"("chat_template_kwargs":{"enable_thinking":1})",
       "json: cannot unmarshal number into Go struct field chat_template_kwargs.enable_thinking of type bool"},
      {R"("reasoning_effort":"hard")",
       "invalid reasoning value: \"hard\" (must be \"none\", \"minimal\", \"low\", \"medium\", \"high\", \"max\", "
       "\"xhigh\" or \"ultra\")"},
      {R"("response_format":{"type":"xml"})",
       "the answer's format has the unknown type \"xml\": it is text, json_object or json_schema"},
      {R"("response_format":{"type":"json_schema"})", "a format of the type json_schema needs the field json_schema"},
      {R"("top_logprobs":21)", "top_logprobs must be between 0 and 20"},
      {R"("top_logprobs":2)", "top_logprobs needs logprobs to be true"},
      {R"("tools":[{"type":"function"}])", "each of the tools needs a function with a name"},
      {R"("tool_choice":"required")", "tool_choice asks for a call, but there are no tools to call"},
      {R"("tool_choice":"maybe")", "tool_choice \"maybe\" is unknown: it is auto, none, required or names a function"},
      {R"("tool_choice":{"type":"custom","custom":{"name":"x"}})",
       "tool_choice of the type \"custom\" is not supported"},
      {R"("tool_choice":{"type":"function","function":{"name":"x"}})",
       "tool_choice names \"x\", which is not among the tools"},
      {R"("stream_options":true)",
       "json: cannot unmarshal bool into Go struct field ChatCompletionRequest.stream_options of type object"},
  };
  for (const auto& [fields, message] : cases) {
    EXPECT_EQ(error_of(with(fields)), message) << fields;
  }
}

TEST(ChatRequest, RefusesWrongMessages) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "[] is too short - 'messages'"},
      {"null", "[] is too short - 'messages'"},
      {R"([{"role":"user"}])", "invalid message content type: null"},
      {R"([{"role":"user","content":5}])", "invalid message content type: number"},
      {R"([{"role":"judge","content":"x"}])",
       "invalid role: \"judge\", role must be one of [system, developer, user, assistant, tool]"},
      {R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}])",
       "invalid image input: the models of this server read text only"},
      {R"([{"role":"user","content":[{"type":"input_audio"}]}])",
       "invalid content of type \"input_audio\": the models of this server read text only"},
      {R"([{"role":"user","content":[{"type":"smell"}]}])",
       "invalid message format: a part of the content has the unknown type \"smell\""},
      {R"([{"role":"user","content":[{"type":"text"}]}])",
       "invalid message format: a part of type \"text\" has no text"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"[1]"}}]}])",
       "invalid tool call arguments: arguments must be the text of a JSON object"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1"}]}])",
       "a tool call in the messages needs a function with a name"},
      {R"(["hi"])",
       "json: cannot unmarshal string into Go value of type ChatCompletionRequest.messages: it must be an object"},
  };
  for (const auto& [messages, message] : cases) {
    EXPECT_EQ(error_of(parse_json(std::string(R"({"model":"m","messages":)") + messages + "}").value_or(Json())),
              message)
        << messages;
  }
  EXPECT_EQ(error_of(parse_json(R"({"messages":[{"role":"user","content":"x"}]})").value_or(Json())),
            "model is required");
}

TEST(CompletionRequest, ThePromptIsAMessage) {
  const Json json = parse_json(R"({"model":"m","prompt":"Once","logprobs":2,"stream":true})").value_or(Json());
  const Result<CompletionRequest> request = read_completion(json, kContext);
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->stream);
  EXPECT_FALSE(request->answer.prompt);
  ASSERT_EQ(request->answer.messages.size(), 1U);
  EXPECT_EQ(request->answer.messages[0].role, "user");
  EXPECT_EQ(request->answer.messages[0].content, "Once");
  EXPECT_TRUE(request->answer.logprobs);
  EXPECT_EQ(request->answer.top_logprobs, 2);
  EXPECT_EQ(request->answer.think, false);
}

TEST(CompletionRequest, RefusesWhatIsNoPrompt) {
  const auto error = [](const char* text) {
    const Result<CompletionRequest> request = read_completion(parse_json(text).value_or(Json()), kContext);
    return request ? "" : request.error().message;
  };
  EXPECT_EQ(error(R"({"model":"m"})"), "prompt is required");
  EXPECT_EQ(error(R"({"model":"m","prompt":["a"]})"),
            "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string");
}

}  // namespace
}  // namespace hypura::openai
