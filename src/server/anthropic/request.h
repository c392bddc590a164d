// The request that /v1/messages takes, as what is to be answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/json/json.h"

namespace hypura::anthropic {

struct MessagesRequest {
  std::string model;
  bool stream = false;
  AnswerRequest answer;
};

enum class RequestUse { kAnswer, kCount };  // counting tokens needs no max_tokens

// Fails with kUsage and a sentence that names the field. `server_context`: tokens of one answer.
Result<MessagesRequest> read_messages_request(const Json& json, RequestUse use, uint32_t server_context);

}  // namespace hypura::anthropic
