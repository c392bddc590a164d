#include <memory>
#include <utility>

#include "server/answering.h"
#include "server/openai/chat_records.h"
#include "server/openai/chat_request.h"
#include "server/openai/completion_records.h"
#include "server/openai/handlers.h"
#include "server/openai/replies.h"
#include "server/v1/answer_rules.h"
#include "server/v1/body.h"
#include "server/v1/served_model.h"

namespace hypura::openai {

namespace {

// Answers what `read` makes of the body, with a Format.
template <class Format>
void complete(const ApiContext& context, const ExchangePtr& exchange,
              Result<CompletionRequest> (*read)(const Json& json, uint32_t server_context)) {
  const Result<Json> body = v1::read_body(exchange->request());
  Result<CompletionRequest> request = body ? read(*body, context.context) : propagate(body.error());
  const ServedModel* model = v1::served_model(context, *exchange, request);
  if (model == nullptr) {
    return;
  }
  Status able = v1::check_abilities(request->model, model->card, request->answer);
  if (able && !request->suffix.empty()) {
    able = fail(ErrorCode::kUsage, "\"{}\" does not support insert", request->model);
  }
  if (!able) {
    v1::reply_error(*exchange, able.error());
    return;
  }
  AnswerJob job;
  job.model = model;
  job.request = std::move(request->answer);
  job.stream = request->stream;
  job.format = std::make_unique<Format>(std::move(request->model), request->include_usage);
  run_answer(context, exchange, std::move(job));
}

}  // namespace

void chat_completions(const ApiContext& context, const ExchangePtr& exchange) {
  complete<ChatFormat>(context, exchange, read_chat_completion);
}

void completions(const ApiContext& context, const ExchangePtr& exchange) {
  complete<CompletionFormat>(context, exchange, read_completion);
}

}  // namespace hypura::openai
