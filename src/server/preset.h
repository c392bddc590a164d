// What a model begins its answers with, put into requests: its system prompt, messages and parameters, which what a
// request says goes before.
#pragma once

#include "hypura/generator.h"
#include "server/answering.h"
#include "server/model_host.h"
#include "server/ollama/options.h"

namespace hypura {

// The system prompt where the conversation has none at its beginning, and the messages behind it. Nothing in a raw
// prompt.
void begin_conversation(const ServedModel& model, AnswerRequest& request);

// The options of a native request, `given` or null, over the model's parameters. Fails as ollama::read_options.
Result<ollama::Options> options_over(const ServedModel& model, const Json* given);

// Conversation and parameters of a request whose API is not Ollama's. As Ollama does it, an API's own defaults for
// temperature and top_p go before the model's; of the other parameters those count that the request leaves as they are.
// `server_context` is that of ApiContext.
void begin_with(const ServedModel& model, uint32_t server_context, AnswerRequest& request);
void begin_with(const ServedModel& model, uint32_t server_context, AnswerJob& job);

}  // namespace hypura
