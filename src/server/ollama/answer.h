// What /api/generate and /api/chat do once their requests are read.
#pragma once

#include <memory>
#include <optional>

#include "server/api.h"
#include "server/ollama/records.h"
#include "server/ollama/requests.h"

namespace hypura::ollama {

// Why the model cannot take the request; none when it can. `model` is null when there is none of that name.
std::optional<HttpResponse> refusal(const AnswerFields& fields, const ModelPtr& model);

// The client names a time of zero: the model is to go.
bool wants_unload(const AnswerFields& fields);

// A request without a prompt: loads the model, or unloads it, and answers with one record.
void load_or_unload(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const ModelPtr& model,
                    const AnswerFields& fields, RecordShape shape);

// Answers `request`, completed by `fields`. `with_context` as for RecordFormat.
void start_answer(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const ModelPtr& model,
                  const AnswerFields& fields, AnswerRequest request, RecordShape shape, bool with_context);

}  // namespace hypura::ollama
