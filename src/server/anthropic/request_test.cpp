#include "server/anthropic/request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hypura::anthropic {
namespace {

constexpr uint32_t kContext = 4096;

Result<MessagesRequest> read_text(const std::string& text) {
  return read_messages_request(parse_json(text).value_or(Json()), RequestUse::kAnswer, kContext);
}

// A request with these fields; they must be right.
AnswerRequest with(const std::string& fields) {
  const Result<MessagesRequest> request = read_text(R"({"model":"m","max_tokens":9,)" + fields + "}");
  EXPECT_TRUE(request) << fields << ": " << (request ? "" : request.error().message);
  return request ? request->answer : AnswerRequest();
}

constexpr const char* kHi = R"("messages":[{"role":"user","content":"Hi"}])";

AnswerRequest hi_with(const std::string& fields) {
  return with(kHi + ("," + fields));
}

TEST(MessagesRequest, ReadsOptions) {
  const AnswerRequest request =
      hi_with(R"("temperature":0.5,"top_p":0.25,"top_k":7,"stop_sequences":["a","","b"],"metadata":{"user_id":"u"})");
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.sampling.temperature, 0.5F);
  EXPECT_EQ(request.sampling.top_p, 0.25F);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(with(kHi).sampling.temperature, 1.0F);
}

TEST(MessagesRequest, TheSystemsTextGoesFirst) {
  const AnswerRequest text = hi_with(R"("system":"s")");
  ASSERT_EQ(text.messages.size(), 2U);
  EXPECT_EQ(text.messages[0].role, "system");
  EXPECT_EQ(text.messages[0].content, "s");
  const AnswerRequest blocks = hi_with(
      R"("system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}])");
  EXPECT_EQ(blocks.messages[0].content, "a\nb");
  EXPECT_EQ(hi_with(R"("system":"")").messages.size(), 1U);
}

TEST(MessagesRequest, BlocksBecomeMessagesInTheirOrder) {
  const AnswerRequest request = with(R"("messages":[
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"document","source":{"type":"text","data":"b"}}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"So:"},
          {"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}},
          {"type":"tool_use","id":"toolu_2","name":"g","input":{}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"one"},
          {"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"two"}],"is_error":true},
          {"type":"text","text":"Go on"}]}])");
  const auto& messages = request.messages;
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].content, "a\nb");
  EXPECT_EQ(messages[1].role, "assistant");
  EXPECT_EQ(messages[1].thinking, "hm");
  EXPECT_EQ(messages[1].content, "So:");
  ASSERT_EQ(messages[1].tool_calls.size(), 2U);
  EXPECT_EQ(messages[1].tool_calls[0].id, "toolu_1");
  EXPECT_EQ(messages[1].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].tool_name, "f");
  EXPECT_EQ(messages[2].content, "one");
  EXPECT_EQ(messages[3].tool_name, "g");
  EXPECT_EQ(messages[3].content, "two");
  EXPECT_EQ(messages[4].role, "user");
  EXPECT_EQ(messages[4].content, "Go on");
}

TEST(MessagesRequest, ThinksWhenAsked) {
  EXPECT_EQ(with(kHi).think, false);
  EXPECT_EQ(hi_with(R"("thinking":{"type":"disabled"})").think, false);
  EXPECT_EQ(hi_with(R"("thinking":{"type":"enabled","budget_tokens":1024})").think, true);
  EXPECT_EQ(hi_with(R"("thinking":{"type":"adaptive"})").think, std::nullopt);
}

TEST(MessagesRequest, HowMuchToThink) {
  EXPECT_EQ(hi_with(R"("thinking":{"type":"enabled","budget_tokens":2048})").thinking_budget, 2048);
  EXPECT_EQ(hi_with(R"("thinking":{"type":"enabled","budget_tokens":99999999999})").thinking_budget, INT32_MAX);
  EXPECT_EQ(hi_with(R"("thinking":{"type":"disabled"})").thinking_budget, std::nullopt);
  for (const char* effort : {"low", "medium", "high", "xhigh", "max"}) {
    const std::string config = R"("output_config":{"effort":")" + std::string(effort) + "\"}";
    EXPECT_EQ(hi_with(R"("thinking":{"type":"adaptive"},)" + config).effort, effort);
  }
}

TEST(MessagesRequest, ToolsAndChoice) {
  const auto choose = [](const std::string& choice) {
    return hi_with(R"("tools":[{"name":"f","description":"d","input_schema":{"type":"object"}},
        {"type":"custom","name":"g","input_schema":{"type":"object"}}],"tool_choice":)" +
                   choice);
  };
  const AnswerRequest all = choose("null");
  ASSERT_EQ(all.tools.size(), 2U);
  EXPECT_EQ(all.tools[0].description, "d");
  EXPECT_EQ(all.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(choose(R"({"type":"auto"})").tool_choice, ToolChoice::kAuto);
  EXPECT_EQ(choose(R"({"type":"any"})").tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(choose(R"({"type":"none"})").tool_choice, ToolChoice::kNone);
  const AnswerRequest one = choose(R"({"type":"tool","name":"g"})");
  EXPECT_EQ(one.tool_choice, ToolChoice::kRequired);
  ASSERT_EQ(one.tools.size(), 1U);
  EXPECT_EQ(one.tools[0].name, "g");
}

TEST(MessagesRequest, FormatsBecomeSchemas) {
  constexpr const char* kSchema = R"({"type":"array"})";
  const std::string format = std::string(R"({"type":"json_schema","schema":)") + kSchema + "}";
  EXPECT_EQ(hi_with(R"("output_format":)" + format).json_schema, kSchema);
  EXPECT_EQ(hi_with(R"("output_config":{"effort":"low","format":)" + format + "}").json_schema, kSchema);
  EXPECT_FALSE(hi_with(R"("output_config":{"effort":"low"})").json_schema);
}

TEST(MessagesRequest, RefusesWrongFields) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"model":"m","messages":[{"role":"user","content":"x"}]})", "max_tokens is required and must be positive"},
      {R"({"model":"m","max_tokens":0,"messages":[{"role":"user","content":"x"}]})",
       "max_tokens is required and must be positive"},
      {R"({"model":"m","max_tokens":"9","messages":[]})",
       "json: cannot unmarshal string into Go struct field MessagesRequest.max_tokens of type int"},
      {R"({"model":"m","max_tokens":9})", "messages is required"},
      {R"({"model":"m","max_tokens":9,"messages":[]})", "messages is required"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"tool","content":"x"}]})",
       "invalid role: \"tool\", role must be one of [user, assistant, system]"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"user"}]})", "invalid message content type: null"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":5}]})",
       "invalid message content type: number"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image"}]}]})",
       "invalid content block of type \"image\": the models of this server read text only"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "invalid content block format: a block of type \"text\" has no text"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"smell"}]}]})",
       "invalid content block format: a block of type \"smell\" is not supported here"},
      {R"({"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}]})",
       "a tool_use block needs an id and a name"},
  };
  for (const auto& [text, message] : cases) {
    const Result<MessagesRequest> request = read_text(text);
    EXPECT_EQ(request ? "" : request.error().message, message) << text;
  }
}

TEST(MessagesRequest, RefusesWhatIsNotSupported) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature":1.5)", "temperature must be between 0 and 1"},
      {R"("system":5)", "invalid message content type: number"},
      {R"("tools":[{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"web_search"})",
       "tool_choice names \"web_search\", which is not among the tools"},
      {R"("container":"c")", "container is not supported: this server runs no code"},
      {R"("mcp_servers":[{"url":"https://x.example"}])",
       "mcp_servers is not supported: this server calls none; offer their tools to the model yourself"},
      {R"("compaction":{"type":"summarize"})",
       "compaction is not supported: this server compacts nothing; shorten the conversation yourself"},
      {R"("tools":[{}])", "each tool needs a name"},
      {R"("tool_choice":{"type":"some"})", "tool_choice of the type \"some\" is unknown; use auto, any, tool or none"},
      {R"("tool_choice":{"type":"any"})", "tool_choice asks for a call, but there are no tools to call"},
      {R"("tool_choice":{"type":"tool","name":"x"})", "tool_choice names \"x\", which is not among the tools"},
      {R"("thinking":{"type":"hard"})", "thinking of the type \"hard\" is unknown; use enabled, disabled or adaptive"},
      {R"("output_format":{"type":"text"})", "the answer's format has the unknown type \"text\"; use json_schema"},
  };
  for (const auto& [fields, message] : cases) {
    const Result<MessagesRequest> request =
        read_text(std::string(R"({"model":"m","max_tokens":9,)") + kHi + "," + fields + "}");
    EXPECT_EQ(request ? "" : request.error().message, message) << fields;
  }
}

TEST(MessagesRequest, FieldsThatHarmNobodyArePassedOver) {
  const AnswerRequest request =
      hi_with(R"("metadata":{"user_id":"u"},"service_tier":"auto","mcp_servers":[],"betas":["b"],
      "inference_geo":"eu","speed":"fast","container":null,"cache_control":{"type":"ephemeral"},
      "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},
      "tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f","input_schema":{"type":"object"}}])");
  ASSERT_EQ(request.tools.size(), 1U);
  EXPECT_EQ(request.tools[0].name, "f");
  EXPECT_FALSE(request.truncate);
  EXPECT_FALSE(request.shift);
  EXPECT_TRUE(request.parallel_tool_calls);
  EXPECT_FALSE(hi_with(R"("tools":[{"name":"f"}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true})")
                   .parallel_tool_calls);
}

TEST(MessagesRequest, DeferredToolsWaitUntilTheyAreFound) {
  const std::string tools = R"("tools":[{"name":"ToolSearch"},{"name":"a","defer_loading":true},
                                        {"name":"b","defer_loading":true}],)";
  const auto names = [&](const std::string& result) {
    const AnswerRequest request = with(tools + R"("messages":[{"role":"user","content":"x"},
        {"role":"assistant","content":[{"type":"tool_use","id":"1","name":"ToolSearch","input":{"query":"b"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":)" +
                                       result + "}]}]");
    std::string text;
    for (const ToolDefinition& tool : request.tools) {
      text += tool.name + " ";
    }
    return text + request.messages.back().content;
  };
  EXPECT_EQ(names(R"("none")"), "ToolSearch none");
  EXPECT_EQ(names(R"([{"type":"tool_reference","tool_name":"b"}])"), "ToolSearch b The tool \"b\" is available.");
}

// What agents send again with every turn, whoever made it, never makes a request fail.
TEST(MessagesRequest, HistoriesOfAllKindsAreRead) {
  const AnswerRequest request = with(R"("messages":[
      {"role":"user","content":[{"type":"document","title":"T","source":{"type":"content","content":"inner"}},
          {"type":"search_result","source":"https://x.example","title":"S","content":[{"type":"text","text":"found"}]}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
          {"type":"redacted_thinking","data":"zzz"},{"type":"text","text":"So"},
          {"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"q"}},
          {"type":"web_search_tool_result","tool_use_id":"s1","content":[{"type":"web_search_result","title":"Page",
              "url":"https://y.example","encrypted_content":"zzz","page_age":null}]},
          {"type":"mcp_tool_use","id":"m","name":"g","server_name":"n","input":{}},
          {"type":"mcp_tool_result","tool_use_id":"m","is_error":false,"content":[{"type":"text","text":"mcp"}]},
          {"type":"tool_use","id":"1","name":"Read","input":{}},{"type":"tool_use","id":"2","name":"Shot","input":{}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"before"},
              {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
          {"type":"tool_result","tool_use_id":"2","content":[{"type":"document",
              "source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}},
              {"type":"search_result","source":"s","title":"t","content":[]},{"type":"browser_state","url":"u"}]}]},
      {"role":"assistant","content":[{"type":"fallback","from":{},"to":{}}]},
      {"role":"user","content":"go on"}])");
  std::string told;
  for (const ChatMessage& message : request.messages) {
    told += message.role + "(" + message.thinking + "): " + message.content + "\n";
  }
  EXPECT_EQ(told, R"(user(): T
inner
S
https://x.example
found
assistant(hm): So
[called web_search with {"query":"q"}]
[result: Page
https://y.example]
[called g with {}]
[result: mcp]
tool(): before
[image left out: the model reads text only]
tool(): [document left out: the model reads text only]
t
s
u
user(): go on
)");
}

}  // namespace
}  // namespace hypura::anthropic
