// The requests that chat completions and completions take, as what is to be answered.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/result.h"
#include "hypura/serving.h"
#include "server/json/json.h"

namespace hypura::openai {

struct CompletionRequest {
  std::string model;
  bool stream = false;
  bool include_usage = false;  // of a stream
  std::string suffix;          // of a completion
  AnswerRequest answer;
};

// Both fail with kUsage and a sentence that names the field. `server_context`: tokens of one answer.
Result<CompletionRequest> read_chat_completion(const Json& json, uint32_t server_context);
Result<CompletionRequest> read_completion(const Json& json, uint32_t server_context);

}  // namespace hypura::openai
