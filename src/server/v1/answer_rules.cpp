#include "server/v1/answer_rules.h"

#include <utility>

#include "server/v1/refusing.h"
#include "support/fail.h"

namespace hypura::v1 {

ollama::Options default_options() {
  ollama::Options options;
  options.sampling.temperature = 1.0F;
  options.sampling.top_p = 1.0F;
  return options;
}

float read_number(Fields& fields, std::string_view key, float absent, double low, double high) {
  const std::optional<double> number = fields.number(key);
  if (!number) {
    return absent;
  }
  if (!(*number >= low && *number <= high)) {
    refuse(fields, fmt::format("{} must be between {} and {}", key, low, high));
    return absent;
  }
  return static_cast<float>(*number);
}

std::optional<int64_t> read_token_limit(Fields& fields, std::string_view key, int64_t least) {
  const std::optional<int64_t> limit = fields.integer(key);
  if (limit && *limit < least && *limit != -1) {
    refuse(fields, fmt::format("{} must be at least {}", key, least));
  }
  return limit;
}

Status apply(const ToolRule& rule, AnswerRequest& request) {
  request.tool_choice = rule.choice;
  if (rule.only) {
    std::unordered_map<std::string_view, const ToolDefinition*> tools;
    for (const ToolDefinition& tool : request.tools) {
      tools.emplace(tool.name, &tool);
    }
    std::vector<ToolDefinition> left;
    for (const std::string& name : *rule.only) {
      const auto tool = tools.find(name);
      if (tool == tools.end()) {
        return fail(ErrorCode::kUsage, "tool_choice names \"{}\", which is not among the tools", name);
      }
      left.push_back(*tool->second);
    }
    request.tools = std::move(left);
  }
  if (rule.choice == ToolChoice::kRequired && request.tools.empty()) {
    return fail(ErrorCode::kUsage, "tool_choice asks for a call, but there are no tools to call");
  }
  return {};
}

Status check_abilities(const std::string& name, const ModelCard& card, AnswerRequest& request) {
  if (!card.tools && request.tool_choice == ToolChoice::kNone) {
    request.tools.clear();
  }
  if (!card.tools && !request.tools.empty()) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support tools", name);
  }
  if (!card.thinking && request.think == true) {
    return fail(ErrorCode::kUsage, "\"{}\" does not support thinking", name);
  }
  return {};
}

void CalledTools::add(const std::vector<ToolCall>& calls) {
  for (const ToolCall& call : calls) {
    names_[call.id] = call.name;
  }
}

std::string CalledTools::name(const std::string& call_id) const {
  const auto found = names_.find(call_id);
  return found == names_.end() ? std::string() : found->second;
}

std::string schema_text(const Json* schema) {
  return schema == nullptr ? "{}" : dump_json(*schema);
}

std::string parameters_text(const Json* schema) {
  return schema == nullptr ? R"({"type":"object","properties":{}})" : dump_json(*schema);
}

}  // namespace hypura::v1
