// The request that /v1/responses takes, as what is to be answered.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/json/json.h"

namespace hypura::openai {

struct ResponsesRequest {
  std::string model;
  bool stream = false;
  bool give_reasoning = false;  // the reasoning comes with a copy that clients send back
  Json echo;                    // the fields of the answer that repeat the request
  AnswerRequest answer;
};

// Fails with kUsage and a sentence that names the field. `server_context`: tokens of one answer.
Result<ResponsesRequest> read_responses_request(const Json& json, uint32_t server_context);

}  // namespace hypura::openai
