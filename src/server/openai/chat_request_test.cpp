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

std::vector<ChatMessage> messages_of(const std::string& messages) {
  const Json json = parse_json(R"({"model":"m","messages":)" + messages + "}").value_or(Json());
  const Result<CompletionRequest> request = read_chat_completion(json, kContext);
  EXPECT_TRUE(request) << messages << ": " << (request ? "" : request.error().message);
  return request ? request->answer.messages : std::vector<ChatMessage>();
}

TEST(ChatRequest, DefaultsAreOpenaisWhereOllamaHasOthers) {
  const AnswerRequest request = read("");
  EXPECT_EQ(request.sampling.temperature, 1.0F);
  EXPECT_EQ(request.sampling.top_p, 1.0F);
  EXPECT_EQ(request.sampling.min_p, 0.0F);
  EXPECT_FALSE(request.sampling.seed);
  EXPECT_EQ(request.max_tokens, 40960);  // ten contexts
  EXPECT_FALSE(request.truncate) << "what does not fit is told";
  EXPECT_FALSE(request.shift);
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
  EXPECT_EQ(read(R"("user":"u","store":true,"seed":null,"metadata":{"a":"b"},"service_tier":"flex","audio":null,
                    "safety_identifier":"s","prompt_cache_key":"k","prompt_cache_retention":"24h","functions":[],
                    "modalities":["text"],"prediction":{"type":"content","content":"x"},"verbosity":"low")")
                .max_tokens,
            40960);
}

TEST(ChatRequest, WithoutAContextOfTheServersTheModelLimitsTheAnswer) {
  const auto limit = [](const std::string& fields) { return read_chat_completion(with(fields), 0)->answer.max_tokens; };
  EXPECT_EQ(limit(""), -1);
  EXPECT_EQ(limit(R"("max_tokens":100000)"), 100000);
}

TEST(ChatRequest, BiasesAndParallelCalls) {
  const AnswerRequest request = read(R"("logit_bias":{"5":-100,"17":2.5},"parallel_tool_calls":false)");
  EXPECT_EQ(request.sampling.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0F}, {17, 2.5F}}));
  EXPECT_FALSE(request.parallel_tool_calls);
  EXPECT_TRUE(read("").parallel_tool_calls);
  EXPECT_TRUE(read(R"("logit_bias":{})").sampling.logit_bias.empty());
}

TEST(ChatRequest, EachOfSeveralChoicesHasASeedOfItsOwn) {
  const auto request = read_chat_completion(with(R"("n":3,"seed":7)"), kContext);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->answer.sampling.seed, 7U);
  ASSERT_EQ(request->more.size(), 2U);
  EXPECT_EQ(request->more[0].sampling.seed, 8U);
  EXPECT_EQ(request->more[1].sampling.seed, 9U);
  EXPECT_EQ(request->more[1].messages.size(), 1U);
  EXPECT_TRUE(read_chat_completion(with(R"("n":1)"), kContext)->more.empty());
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
       "the answer's format has the unknown type \"xml\"; use text, json_object or json_schema"},
      {R"("response_format":{"type":"json_schema"})", "a format of the type json_schema needs the field json_schema"},
      {R"("top_logprobs":21)", "top_logprobs must be between 0 and 20"},
      {R"("top_logprobs":2)", "top_logprobs needs logprobs to be true"},
      {R"("n":0)", "n must be between 1 and 128"},
      {R"("n":129)", "n must be between 1 and 128"},
      {R"("logit_bias":{"the":1})", "logit_bias: \"the\" is not the id of a token"},
      {R"("logit_bias":{"-5":1})", "logit_bias: \"-5\" is not the id of a token"},
      {R"("logit_bias":{"5":101})", "logit_bias: the bias of \"5\" must be a number between -100 and 100"},
      {R"("logit_bias":{"5":"1"})", "logit_bias: the bias of \"5\" must be a number between -100 and 100"},
      {R"("modalities":["text","audio"])", "modalities: the models of this server write text only"},
      {R"("audio":{"voice":"x"})", "audio is not supported: the models of this server write text only"},
      {R"("functions":[{"name":"f"}])", "functions is not supported: send tools instead"},
      {R"("function_call":"auto")", "function_call is not supported: send tool_choice instead"},
      {R"("web_search_options":{"a":1})", "web_search_options is not supported: this server searches nothing"},
      {R"("tools":[{"type":"function"}])", "each tool needs a function with a name"},
      {R"("tool_choice":"required")", "tool_choice asks for a call, but there are no tools to call"},
      {R"("tool_choice":"maybe")", "tool_choice \"maybe\" is unknown; use auto, none, required or a function"},
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
      {R"([{"role":"tool","content":[{"type":"smell"}]}])",
       "invalid message format: a part of the content has the unknown type \"smell\""},
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
  const std::string no_prompt =
      "prompt must be a string, an array of strings, an array of tokens or an array of arrays of tokens";
  for (const char* prompt : {"5", "[]", "{}", "[[]]", "[1.5]", "[-1]", R"(["a",[{}]])", "[[1],2]", "[true]"}) {
    EXPECT_EQ(error((std::string(R"({"model":"m","prompt":)") + prompt + "}").c_str()), no_prompt) << prompt;
  }
  EXPECT_EQ(error(R"({"model":"m","prompt":"x","best_of":3})"),
            "best_of must equal n, which is 1: this server returns every completion");
  EXPECT_EQ(error(R"({"model":"m","prompt":"x","echo":true,"logprobs":1})"),
            "echo is not supported together with logprobs: this server gives those of new tokens only");
  EXPECT_EQ(error(R"({"model":"m","prompt":"x","max_tokens":-2})"), "max_tokens must be at least 0");
}

TEST(CompletionRequest, PromptsAreTextsAndTokens) {
  const auto prompts = [](const std::string& fields) {
    const Json json = parse_json(R"({"model":"m","prompt":)" + fields + "}").value_or(Json());
    auto request = read_completion(json, kContext);
    EXPECT_TRUE(request) << fields << (request ? "" : request.error().message);
    std::vector<AnswerRequest> all = {request->answer};
    all.insert(all.end(), request->more.begin(), request->more.end());
    return all;
  };
  const auto texts = prompts(R"(["a","b"],"n":2,"best_of":2,"seed":5)");
  ASSERT_EQ(texts.size(), 4U);
  EXPECT_EQ(texts[1].messages[0].content, "a");
  EXPECT_EQ(texts[1].sampling.seed, 6U);
  EXPECT_EQ(texts[2].messages[0].content, "b");
  EXPECT_EQ(texts[2].sampling.seed, 5U);
  const auto tokens = prompts("[5,6,7]");
  ASSERT_EQ(tokens.size(), 1U);
  EXPECT_EQ(tokens[0].context, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(tokens[0].prompt, "");
  EXPECT_TRUE(tokens[0].messages.empty());
  const auto lists = prompts("[[5,6],[7]]");
  ASSERT_EQ(lists.size(), 2U);
  EXPECT_EQ(lists[1].context, std::vector<int32_t>{7});
  EXPECT_EQ(prompts(R"(["a",[7]],"max_tokens":0)")[1].max_tokens, 0);
}

// Agents send what they were once given again and again: none of it may make a request fail.
TEST(ChatRequest, HistoriesOfAllKindsAreRead) {
  const auto messages = messages_of(R"([
      {"role":"user","content":"a"},
      {"role":"assistant","content":null,"refusal":"No."},
      {"role":"assistant","content":null},
      {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}},
      {"role":"function","name":"f","content":"one"},
      {"role":"assistant","content":"","tool_calls":[
          {"id":"1","type":"function","function":{"name":"f","arguments":"{\"cut sho"}},
          {"id":"2","type":"function","function":{"name":"f","arguments":"[1]"}},
          {"id":"3","type":"custom","custom":{"name":"patch","input":"*** Begin"}}]},
      {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"see"},
          {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
      {"role":"tool","tool_call_id":"3","content":[{"type":"file","file":{"file_data":"AAAA"}}]}])");
  ASSERT_EQ(messages.size(), 8U);
  EXPECT_EQ(messages[1].content, "No.");
  EXPECT_EQ(messages[2].content, "");
  EXPECT_EQ(messages[3].tool_calls.at(0).arguments, R"({"a":1})");
  EXPECT_EQ(messages[4].role, "tool");
  EXPECT_EQ(messages[4].tool_name, "f");
  EXPECT_EQ(messages[5].tool_calls.at(0).arguments, R"({"arguments":"{\"cut sho"})");
  EXPECT_EQ(messages[5].tool_calls.at(1).arguments, R"({"arguments":"[1]"})");
  EXPECT_EQ(messages[5].tool_calls.at(2).arguments, R"({"input":"*** Begin"})");
  EXPECT_EQ(messages[6].content, "see\n[image left out: the model reads text only]");
  EXPECT_EQ(messages[7].content, "[file left out: the model reads text only]");
  EXPECT_EQ(messages[7].tool_name, "patch");
}

}  // namespace
}  // namespace hypura::openai
