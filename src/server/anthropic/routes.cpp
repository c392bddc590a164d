#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/answering.h"
#include "server/anthropic/message_writer.h"
#include "server/anthropic/replies.h"
#include "server/anthropic/request.h"
#include "server/api.h"
#include "server/preset.h"
#include "server/v1/answer_rules.h"
#include "server/v1/body.h"
#include "server/v1/served_model.h"
#include "server/v1/sse.h"
#include "support/fail.h"

namespace hypura {

namespace anthropic {

namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

// Tokens of the prompt that the request makes.
Result<uint64_t> count_tokens(const Generator& generator, const AnswerRequest& request) {
  const Result<std::string> prompt = generator.render(request);
  if (!prompt) {
    return propagate(prompt.error());
  }
  return generator.tokenize(*prompt).size();
}

class MessageFormat : public AnswerFormat {
 public:
  explicit MessageFormat(MessageWriter writer) : writer_(std::move(writer)) {}

  // A stream's first event tells the length of the prompt.
  void on_prompt(uint32_t tokens) override { prompt_tokens_ = tokens; }

  HttpResponse on_begin() override { return v1::sse_head(writer_.begin(prompt_tokens_)); }
  std::string on_piece(AnswerPiece piece) override { return writer_.piece(std::move(piece)); }
  std::string on_quiet() override { return v1::sse_event({{"type", "ping"}}); }
  std::string on_end(const AnswerEnd& end) override { return writer_.end(end); }
  std::string on_error(const Error& error) override { return error_event(error); }

  HttpResponse whole(AnswerPiece answer, const AnswerEnd& end) override {
    writer_.piece(std::move(answer));
    writer_.end(end);
    return json_reply(writer_.message());
  }

  HttpResponse refusal(const Error& error) override { return error_reply(error); }

 private:
  MessageWriter writer_;
  uint64_t prompt_tokens_ = 0;
};

using Then = void(const ApiContext& context, const ExchangePtr& exchange, MessagesRequest& request, ModelPtr model);

// Calls `then` with the request and its model; when something is wrong with them, the exchange is answered.
void read_request(const ApiContext& context, const ExchangePtr& exchange, RequestUse use, Then* then) {
  const Result<Json> body = v1::read_body(exchange->request());
  Result<MessagesRequest> read = body ? read_messages_request(*body, use, context.context) : propagate(body.error());
  v1::with_served_model(
      context, exchange, std::move(read), [&context, exchange, then](MessagesRequest& request, ModelPtr model) {
        if (!model->card.thinking) {  // agents ask every model for it: it is answered without
          request.answer.think = false;
          request.answer.effort.clear();
          request.answer.thinking_budget.reset();
        }
        if (const Status able = v1::check_abilities(request.model, model->card, request.answer); !able) {
          v1::reply_error(*exchange, able.error());
          return;
        }
        then(context, exchange, request, std::move(model));
      });
}

void answer(const ApiContext& context, const ExchangePtr& exchange, MessagesRequest& request, ModelPtr model) {
  AnswerJob job;
  job.stream = request.stream;
  job.format = std::make_unique<MessageFormat>(MessageWriter(std::move(request.model)));
  job.request = std::move(request.answer);
  begin_with(*model, context.context, job);
  job.model = std::move(model);
  run_answer(context, exchange, std::move(job));
}

void messages(const ApiContext& context, const ExchangePtr& exchange) {
  read_request(context, exchange, RequestUse::kAnswer, answer);
}

void count_for(const ApiContext& context, const ExchangePtr& exchange, MessagesRequest& request, ModelPtr model) {
  begin_with(*model, context.context, request.answer);
  context.host.lease(model, std::nullopt, [exchange, asked = std::move(request.answer)](Result<ModelLease> lease) {
    Result<uint64_t> tokens = lease ? count_tokens(*lease->generator, asked) : propagate(lease.error());
    if (lease) {
      release(std::move(*lease));
    }
    exchange->respond(tokens ? json_reply({{"input_tokens", *tokens}}) : error_reply(tokens.error()));
  });
}

void count(const ApiContext& context, const ExchangePtr& exchange) {
  read_request(context, exchange, RequestUse::kCount, count_for);
}

void not_offered(const ApiContext& /*context*/, const ExchangePtr& exchange) {
  exchange->respond(error_reply(404, fmt::format("{} is not offered: this server answers /v1/messages and "
                                                 "/v1/messages/count_tokens",
                                                 exchange->request().path)));
}

}  // namespace

}  // namespace anthropic

std::vector<Route> anthropic_routes() {
  return {
      {"POST", "/v1/messages", anthropic::messages},
      {"POST", "/v1/messages/count_tokens", anthropic::count},
      {"GET", "/v1/messages/batches", anthropic::not_offered},
      {"POST", "/v1/messages/batches", anthropic::not_offered},
  };
}

}  // namespace hypura
