#include <memory>
#include <utility>

#include "server/answering.h"
#include "server/openai/handlers.h"
#include "server/openai/replies.h"
#include "server/openai/responses_request.h"
#include "server/openai/responses_writer.h"
#include "server/preset.h"
#include "server/v1/answer_rules.h"
#include "server/v1/body.h"
#include "server/v1/served_model.h"
#include "server/v1/sse.h"
#include "support/fail.h"

namespace hypura::openai {

namespace {

class ResponsesFormat : public AnswerFormat {
 public:
  explicit ResponsesFormat(ResponsesWriter writer) : writer_(std::move(writer)) {}

  HttpResponse on_begin() override { return v1::sse_head(writer_.begin()); }
  std::string on_piece(AnswerPiece piece) override { return writer_.piece(std::move(piece)); }
  std::string on_quiet() override { return std::string(v1::kSseComment); }
  std::string on_end(const AnswerEnd& end) override { return writer_.end(end); }
  std::string on_error(const Error& error) override { return writer_.fail(error); }

  HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) override {
    writer_.piece(std::move(answer));
    writer_.end(end);
    return json_reply(writer_.response());
  }

  HttpResponse refusal(const Error& error) override { return error_reply(error, "input"); }

 private:
  ResponsesWriter writer_;
};

void start(const ApiContext& context, const ExchangePtr& exchange, ResponsesRequest& request, ModelPtr model) {
  if (const Status able = v1::check_abilities(request.model, model->card, request.answer); !able) {
    v1::reply_error(*exchange, able.error());
    return;
  }
  AnswerJob job;
  job.request = std::move(request.answer);
  job.stream = request.stream;
  job.format = std::make_unique<ResponsesFormat>(
      ResponsesWriter(std::move(request.model), std::move(request.echo), request.give_reasoning));
  begin_with(*model, context.context, job);
  job.model = std::move(model);
  run_answer(context, exchange, std::move(job));
}

}  // namespace

void responses(const ApiContext& context, const ExchangePtr& exchange) {
  const Result<Json> body = v1::read_body(exchange->request());
  Result<ResponsesRequest> request = body ? read_responses_request(*body, context.context) : propagate(body.error());
  v1::with_served_model(context, exchange, std::move(request),
                        [&context, exchange](ResponsesRequest& asked, ModelPtr model) {
                          start(context, exchange, asked, std::move(model));
                        });
}

}  // namespace hypura::openai
