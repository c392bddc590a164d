#include <memory>
#include <utility>

#include "server/answering.h"
#include "server/openai/chat_records.h"
#include "server/openai/chat_request.h"
#include "server/openai/completion_records.h"
#include "server/openai/handlers.h"
#include "server/openai/replies.h"
#include "server/preset.h"
#include "server/v1/answer_rules.h"
#include "server/v1/body.h"
#include "server/v1/served_model.h"
#include "support/fail.h"

namespace hypura::openai {

namespace {

using Read = Result<CompletionRequest>(const Json& json, uint32_t server_context);
using MakeFormat = std::unique_ptr<AnswerFormat>(const CompletionRequest& request);

std::unique_ptr<AnswerFormat> chat_format(const CompletionRequest& request) {
  return std::make_unique<ChatFormat>(request.model, request.include_usage, 1 + request.more.size());
}

std::unique_ptr<AnswerFormat> completion_format(const CompletionRequest& request) {
  return std::make_unique<CompletionFormat>(request.model, request.include_usage, 1 + request.more.size(),
                                            request.per_prompt, request.echoes);
}

void start(const ApiContext& context, const ExchangePtr& exchange, CompletionRequest& request, ModelPtr model,
           MakeFormat* make_format) {
  Status able = v1::check_abilities(request.model, model->card, request.answer);
  if (able && !request.suffix.empty()) {
    able = fail(ErrorCode::kUsage, "\"{}\" does not support insert", request.model);
  }
  if (!able) {
    v1::reply_error(*exchange, able.error());
    return;
  }
  AnswerJob job;
  job.format = make_format(request);
  job.request = std::move(request.answer);
  job.more = std::move(request.more);
  begin_with(*model, context.context, job);
  job.model = std::move(model);
  job.stream = request.stream;
  run_answer(context, exchange, std::move(job));
}

// Answers what `read` makes of the body.
void complete(const ApiContext& context, const ExchangePtr& exchange, Read* read, MakeFormat* make_format) {
  const Result<Json> body = v1::read_body(exchange->request());
  Result<CompletionRequest> request = body ? read(*body, context.context) : propagate(body.error());
  v1::with_served_model(context, exchange, std::move(request),
                        [&context, exchange, make_format](CompletionRequest& asked, ModelPtr model) {
                          start(context, exchange, asked, std::move(model), make_format);
                        });
}

}  // namespace

void chat_completions(const ApiContext& context, const ExchangePtr& exchange) {
  complete(context, exchange, read_chat_completion, chat_format);
}

void completions(const ApiContext& context, const ExchangePtr& exchange) {
  complete(context, exchange, read_completion, completion_format);
}

}  // namespace hypura::openai
