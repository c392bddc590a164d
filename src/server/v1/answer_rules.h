// What the APIs under /v1 ask of an answer and share. All functions may be called from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/json/fields.h"
#include "server/json/json.h"
#include "server/ollama/options.h"

namespace hypura::v1 {

// A model chooses among all likely tokens, where a native request has temperature 0.8 and top_p 0.9.
ollama::Options default_options();

// The number, `absent` when there is none; one outside of low..high is refused.
float read_number(Fields& fields, std::string_view key, float absent, double low, double high);

// The most tokens of an answer; none when the field is absent. -1 means no limit; other numbers below `least` are
// refused.
std::optional<int64_t> read_token_limit(Fields& fields, std::string_view key, int64_t least = 1);

// Which of the tools a model may call, and whether it must.
struct ToolRule {
  ToolChoice choice = ToolChoice::kAuto;
  std::optional<std::vector<std::string>> only;  // none: all
};

// Leaves the tools that the rule names. Fails with kUsage when it names one that is not there, or wants a call without
// any tool.
Status apply(const ToolRule& rule, AnswerRequest& request);

// Fails with kUsage when the model, as the request spells it, cannot do what is asked: `"m" does not support tools`.
Status check_abilities(const std::string& name, const ModelCard& card, AnswerRequest& request);

// Which tool each call of a conversation was of. Belongs to one thread.
class CalledTools {
 public:
  void add(const std::vector<ToolCall>& calls);

  // Of the latest call with this id; empty when there is none.
  std::string name(const std::string& call_id) const;

 private:
  std::unordered_map<std::string, std::string> names_;
};

// A schema that a request gives, or any object, as AnswerRequest::json_schema takes it.
std::string schema_text(const Json* schema);

// As ToolDefinition::parameters takes it; null: no parameters.
std::string parameters_text(const Json* schema);

}  // namespace hypura::v1
