#include "server/openai/responses_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hypura::openai {
namespace {

constexpr uint32_t kContextLength = 4096;

Result<ResponsesRequest> read_text(const std::string& text) {
  return read_responses_request(parse_json(text).value_or(Json()), kContextLength);
}

// A request with these fields; they must be right.
ResponsesRequest asking(const std::string& fields) {
  Result<ResponsesRequest> request = read_text(R"({"model":"m",)" + fields + "}");
  EXPECT_TRUE(request) << fields << ": " << (request ? "" : request.error().message);
  return request ? std::move(*request) : ResponsesRequest();
}

std::vector<ChatMessage> messages_from(const std::string& items) {
  return asking(R"("input":)" + items).answer.messages;
}

TEST(ResponsesRequest, ATextIsTheUsers) {
  const ResponsesRequest request = asking(R"("input":"Hi","instructions":"Be kind","max_output_tokens":9)");
  ASSERT_EQ(request.answer.messages.size(), 2U);
  EXPECT_EQ(request.answer.messages[0].role, "system");
  EXPECT_EQ(request.answer.messages[0].content, "Be kind");
  EXPECT_EQ(request.answer.messages[1].role, "user");
  EXPECT_EQ(request.answer.messages[1].content, "Hi");
  EXPECT_EQ(request.answer.max_tokens, 9);
  EXPECT_EQ(request.echo["instructions"], "Be kind");
  EXPECT_EQ(request.echo["max_output_tokens"], 9);
}

TEST(ResponsesRequest, ItemsBecomeMessages) {
  const auto messages = messages_from(R"([
      {"role":"developer","content":"d"},
      {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
      {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}]},
      {"type":"message","role":"assistant","id":"msg_1","content":[{"type":"output_text","text":"So:"}]},
      {"type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}"},
      {"type":"function_call","call_id":"call_2","name":"g","arguments":"{}"},
      {"type":"function_call_output","call_id":"call_2","output":"two"},
      {"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"one"}]}])");
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].content, "a\nb");
  EXPECT_EQ(messages[2].role, "assistant");
  EXPECT_EQ(messages[2].content, "So:");
  EXPECT_EQ(messages[2].thinking, "hm");
  ASSERT_EQ(messages[2].tool_calls.size(), 2U);
  EXPECT_EQ(messages[2].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].tool_name, "g");
  EXPECT_EQ(messages[3].content, "two");
  EXPECT_EQ(messages[4].tool_name, "f");
  EXPECT_EQ(messages[4].content, "one");
}

TEST(ResponsesRequest, ReasoningBelongsToTheCallAfterIt) {
  const auto messages = messages_from(R"([
      {"role":"user","content":"x"},
      {"type":"reasoning","summary":[],"encrypted_content":"hm"},
      {"type":"function_call","call_id":"call_1","name":"f","arguments":""}])");
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[1].role, "assistant");
  EXPECT_EQ(messages[1].thinking, "hm");
  EXPECT_EQ(messages[1].tool_calls.size(), 1U);
}

TEST(ResponsesRequest, ReasoningAtTheEndIsAMessage) {
  const auto messages = messages_from(
      R"([{"role":"user","content":"x"},{"type":"reasoning","content":[{"type":"reasoning_text","text":"hm"}]}])");
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[1].thinking, "hm");
}

TEST(ResponsesRequest, FormatsAndEffort) {
  EXPECT_FALSE(asking(R"("input":"x","text":{"format":{"type":"text"}})").answer.json_schema);
  const ResponsesRequest request = asking(
      R"("input":"x","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"array"}}},
         "reasoning":{"effort":"minimal","summary":"auto"})");
  EXPECT_EQ(request.answer.json_schema, R"({"type":"array"})");
  EXPECT_EQ(request.answer.think, true);
  EXPECT_EQ(request.answer.effort, "minimal");
  EXPECT_EQ(request.echo["text"]["format"]["name"], "n");
  EXPECT_EQ(request.echo["reasoning"], Json({{"effort", "minimal"}, {"summary", "auto"}}));
}

TEST(ResponsesRequest, ToolsAndChoice) {
  const ResponsesRequest request = asking(
      R"("input":"x","tools":[{"type":"function","name":"f","description":null,"parameters":{"type":"object"}},
         {"type":"web_search"},{"type":"function","name":"g","parameters":null,"strict":true}],
         "tool_choice":{"type":"function","name":"f"})");
  ASSERT_EQ(request.answer.tools.size(), 1U);
  EXPECT_EQ(request.answer.tools[0].name, "f");
  EXPECT_EQ(request.answer.tool_choice, ToolChoice::kRequired);
  EXPECT_EQ(request.echo["tools"].size(), 2U);  // without what this server does not offer
  EXPECT_EQ(request.echo["tool_choice"]["name"], "f");
  const ResponsesRequest allowed = asking(
      R"("input":"x","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],
         "tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]})");
  EXPECT_EQ(allowed.answer.tool_choice, ToolChoice::kRequired);
  ASSERT_EQ(allowed.answer.tools.size(), 1U);
  EXPECT_EQ(allowed.answer.tools[0].name, "g");
}

TEST(ResponsesRequest, TruncationIsAnOrder) {
  EXPECT_FALSE(asking(R"("input":"x")").answer.truncate);
  EXPECT_FALSE(asking(R"("input":"x")").answer.shift);
  EXPECT_EQ(asking(R"("input":"x")").echo["truncation"], "disabled");
  EXPECT_TRUE(asking(R"("input":"x","truncation":"auto")").answer.truncate);
  EXPECT_FALSE(asking(R"("input":"x","truncation":"disabled")").answer.truncate);
  EXPECT_EQ(asking(R"("input":"x","truncation":"disabled")").echo["truncation"], "disabled");
}

TEST(ResponsesRequest, IncludeAsksForMore) {
  const ResponsesRequest request =
      asking(R"("input":"x","include":["reasoning.encrypted_content","message.output_text.logprobs"])");
  EXPECT_TRUE(request.give_reasoning);
  EXPECT_TRUE(request.answer.logprobs);
}

TEST(ResponsesRequest, RefusesWrongFields) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("input":null)", "input is required"},
      {R"("input":[])", "input is required"},
      {R"("input":5)", "input must be a string or array"},
      {R"("input":[{"content":"x"}])", "an input item has neither a type nor a role"},
      {R"("input":[{"type":"item_reference","id":"x"}])", "input is required"},
      {R"("input":[{"type":"smell","id":"x"}])", "unknown input item type: \"smell\""},
      {R"("input":"x","context_management":[{"type":"compaction"}])",
       "context_management is not supported: this server compacts nothing; shorten the input yourself"},
      {R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"data:"}]}])",
       "invalid image input: the models of this server read text only"},
      {R"("input":[{"type":"function_call","name":"f","arguments":"{}"}])",
       "a function_call in the input needs a call_id and a name"},
      {R"("input":"x","background":true)", "background is not supported: this server keeps no responses"},
      {R"("input":"x","previous_response_id":"resp_1")",
       "previous_response_id is not supported: this server keeps nothing between requests; send the whole conversation "
       "as input"},
      {R"("input":"x","truncation":"some")", "truncation \"some\" is unknown; use auto or disabled"},
      {R"("input":"x","max_output_tokens":0)", "max_output_tokens must be at least 1"},
      {R"("input":"x","temperature":3)", "temperature must be between 0 and 2"},
      {R"("input":"x","text":{"format":{"type":"xml"}})",
       "the answer's format has the unknown type \"xml\"; use text, json_object or json_schema"},
      {R"("input":"x","tools":[{"type":"function"}])", "each tool needs a name"},
      {R"("input":"x","tool_choice":{"type":"web_search"})", "tool_choice of the type \"web_search\" is not supported"},
      {R"("input":"x","reasoning":{"effort":5})",
       "json: cannot unmarshal number into Go struct field ResponsesRequest.reasoning.effort of type string"},
      {R"("input":"x","metadata":[])",
       "json: cannot unmarshal array into Go struct field ResponsesRequest.metadata of type object"},
  };
  for (const auto& [fields, message] : cases) {
    const Result<ResponsesRequest> request = read_text(std::string(R"({"model":"m",)") + fields + "}");
    EXPECT_EQ(request ? "" : request.error().message, message) << fields;
  }
}

// What Codex and others send again with each turn, whoever ran it.
TEST(ResponsesRequest, HistoriesOfAllKindsAreRead) {
  const ResponsesRequest request = asking(R"("parallel_tool_calls":false,"input":[
      {"role":"user","content":"a"},
      {"type":"custom_tool_call","call_id":"1","name":"apply_patch","input":"*** Begin"},
      {"type":"custom_tool_call_output","call_id":"1","output":"done"},
      {"type":"local_shell_call","call_id":"2","id":"x","status":"completed","action":{"type":"exec","command":["ls"]}},
      {"type":"local_shell_call_output","id":"2","output":"b"},
      {"type":"shell_call","call_id":"3","action":{"commands":["ls"]}},
      {"type":"shell_call_output","call_id":"3","output":[{"stdout":"c","stderr":"","outcome":{"type":"exit"}}]},
      {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},
      {"type":"function_call","call_id":"4","name":"view","arguments":"{\"broken"},
      {"type":"function_call_output","call_id":"4","output":[{"type":"input_text","text":"see"},
          {"type":"input_image","image_url":"data:image/png;base64,AAAA"}]},
      {"type":"computer_call","call_id":"5","action":{"type":"screenshot"}},
      {"type":"computer_call_output","call_id":"5","output":{"type":"computer_screenshot","image_url":"data:"}},
      {"type":"mcp_call","id":"6","name":"g","server_label":"s","arguments":"{}","output":"d"},
      {"type":"mcp_list_tools","id":"7","tools":[]},{"type":"compaction","encrypted_content":"zzz"},
      {"type":"item_reference","id":"msg_1"},{"id":"msg_2"},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"e","annotations":[]}]}])");
  EXPECT_FALSE(request.answer.parallel_tool_calls);
  EXPECT_EQ(request.echo["parallel_tool_calls"], false);
  std::string told;
  for (const ChatMessage& message : request.answer.messages) {
    told += message.role + ":" + message.tool_name + ":" + message.content;
    for (const ToolCall& call : message.tool_calls) {
      told += call.name + call.arguments;
    }
    told += "\n";
  }
  EXPECT_EQ(told, R"(user::a
assistant::apply_patch{"input":"*** Begin"}
tool:apply_patch:done
assistant::local_shell{"type":"exec","command":["ls"]}
tool:local_shell:b
assistant::shell{"commands":["ls"]}
tool:shell:c
assistant::view{"arguments":"{\"broken"}
tool:view:see
[image left out: the model reads text only]
assistant::computer{"type":"screenshot"}
tool:computer:[image left out: the model reads text only]
assistant::g{}
tool:g:d
assistant::e
)");
}

}  // namespace
}  // namespace hypura::openai
