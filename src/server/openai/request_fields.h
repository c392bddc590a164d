// Fields that requests in OpenAI's form share. Reading sets the fields' status when a value is wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypura/generator.h"
#include "server/json/fields.h"
#include "server/json/json.h"
#include "server/ollama/options.h"
#include "server/v1/answer_rules.h"

namespace hypura::openai {

// The model's name; absent or empty is refused.
std::string read_model(Fields& fields);

// temperature, top_p, the penalties, seed and stop.
ollama::Options read_options(Fields& fields);

// Whether it is an array of ids of tokens, with one at least.
bool is_tokens(const Json& json);

// How many choices are wanted: the field `n`, from 1 to 128.
size_t read_choices(Fields& fields);

// Biases of tokens, from -100 to 100, by their ids as text.
std::vector<std::pair<int32_t, float>> read_logit_bias(Fields& fields);

// A field that is a string or an array of strings.
std::vector<std::string> read_stops(Fields& fields, std::string_view key);

// How much to think: "none" is not at all, "minimal" to "max" (also called "ultra") are levels.
void read_effort(Fields& fields, std::string_view key, AnswerRequest& answer);

// chat_template_kwargs: variables for the model's chat template. Its enable_thinking says whether to think.
void read_template_values(Fields& fields, AnswerRequest& answer);

// The shape of the answer: `format` has the type "text", "json_object" or "json_schema"; `schema_of` is what holds
// the field `schema` of the last. None for text.
std::optional<std::string> read_format(Fields& format, const Json* schema_of);

// How many likely tokens to tell of each.
int32_t read_top_logprobs(Fields& fields, std::string_view key);

// "auto", "none", "required", {"type":"function",…} or {"type":"allowed_tools",…}: in chat completions the last two
// have their names in an object of the type's name, in responses beside the type.
v1::ToolRule read_tool_choice(Fields& fields);

// The text of a message's content: a string, or parts that are joined with a new line. Parts that are no text are
// refused; in the result of a tool, which clients send again and again, a note stands in their place.
std::string read_content(Fields& fields, const Json& content, bool of_tool = false);

// The arguments of a call as the text of a JSON object. What a model wrote may be none: it is then a field of one.
std::string read_arguments(Fields& fields, std::string_view key);

}  // namespace hypura::openai
