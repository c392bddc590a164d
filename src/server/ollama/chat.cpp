// POST /api/chat
#include <memory>
#include <optional>
#include <utility>

#include "server/library.h"
#include "server/ollama/answer.h"
#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "server/ollama/routes.h"

namespace hypura::ollama {

namespace {

void chat(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, ChatRequest& request,
          const ModelPtr& model) {
  if (auto refused = refusal(request.fields, model)) {
    exchange->respond(std::move(*refused));
    return;
  }
  if (!request.tools.empty() && !model->card.tools) {
    exchange->respond(no_support(request.fields.model, "tools"));
    return;
  }
  if (request.messages.empty()) {
    load_or_unload(context, exchange, model, request.fields, RecordShape::kChat);
    return;
  }
  AnswerRequest answer;
  answer.messages = std::move(request.messages);
  answer.tools = std::move(request.tools);
  start_answer(context, exchange, model, request.fields, std::move(answer), RecordShape::kChat, false);
}

}  // namespace

void handle_chat(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<Json> json = read_body(*exchange);
  if (!json) {
    return;
  }
  Result<ChatRequest> request = read_chat(*json);
  if (!request) {
    exchange->respond(error_reply(request.error()));
    return;
  }
  const auto kept = std::make_shared<ChatRequest>(std::move(*request));
  find_soon(context, kept->fields.model,
            [&context, exchange, kept](const ModelPtr& model) { chat(context, exchange, *kept, model); });
}

}  // namespace hypura::ollama
