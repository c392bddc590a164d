// The requests that chat completions and completions take, as what is to be answered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/json/json.h"
#include "server/openai/completion_records.h"

namespace hypura::openai {

struct CompletionRequest {
  std::string model;
  bool stream = false;
  bool include_usage = false;  // of a stream
  size_t per_prompt = 1;       // choices
  AnswerRequest answer;
  std::vector<AnswerRequest> more;  // of further choices: those of a prompt side by side

  // Of a completion:
  std::string suffix;
  std::vector<Echo> echoes;  // of each prompt; none when they are not wanted
};

// Both fail with kUsage and a sentence that names the field. `server_context`: tokens of one answer.
Result<CompletionRequest> read_chat_completion(const Json& json, uint32_t server_context);
Result<CompletionRequest> read_completion(const Json& json, uint32_t server_context);

}  // namespace hypura::openai
