// POST /api/generate
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/library.h"
#include "server/ollama/answer.h"
#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "server/ollama/routes.h"

namespace hypura::ollama {

namespace {

std::optional<HttpResponse> refuse(const GenerateRequest& request, const ModelPtr& model) {
  if (auto refused = refusal(request.fields, model)) {
    return refused;
  }
  if (request.raw && (!request.prompt_template.empty() || !request.system.empty() || !request.context.empty())) {
    return error_reply(400, "raw mode does not support template, system, or context");
  }
  if (!request.prompt_template.empty()) {
    return error_reply(400,
                       "template is not supported: this server uses the model's own chat template; send the finished "
                       "prompt with \"raw\": true instead");
  }
  if (!request.suffix.empty()) {
    return no_support(request.fields.model, "insert");
  }
  return std::nullopt;
}

// A model without a template of its own completes text: the prompt as it stands, after the system text.
AnswerRequest answer_request(GenerateRequest& request, const ServedModel& model) {
  AnswerRequest answer;
  // Ollama cuts a prompt only when it may shift the context too.
  request.fields.truncate = request.fields.truncate && request.fields.shift;
  answer.context = std::move(request.context);
  if (!request.raw && request.system.empty()) {
    request.system = model.preset.system;
  }
  if (request.raw || model.card.chat_template.empty()) {
    answer.prompt = request.system.empty() ? std::move(request.prompt) : request.system + "\n\n" + request.prompt;
    return answer;
  }
  if (!request.system.empty()) {
    ChatMessage& system = answer.messages.emplace_back();
    system.role = "system";
    system.content = std::move(request.system);
  }
  ChatMessage& user = answer.messages.emplace_back();
  user.role = "user";
  user.content = std::move(request.prompt);
  return answer;
}

void generate(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, GenerateRequest& request,
              const ModelPtr& model) {
  if (auto refused = refuse(request, model)) {
    exchange->respond(std::move(*refused));
    return;
  }
  if (request.prompt.empty()) {
    load_or_unload(context, exchange, model, request.fields, RecordShape::kGenerate);
    return;
  }
  AnswerRequest answer = answer_request(request, *model);
  start_answer(context, exchange, model, request.fields, std::move(answer), RecordShape::kGenerate, !request.raw);
}

}  // namespace

void handle_generate(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<Json> json = read_body(*exchange);
  if (!json) {
    return;
  }
  Result<GenerateRequest> request = read_generate(*json);
  if (!request) {
    exchange->respond(error_reply(request.error()));
    return;
  }
  const auto kept = std::make_shared<GenerateRequest>(std::move(*request));
  find_soon(context, kept->fields.model,
            [&context, exchange, kept](const ModelPtr& model) { generate(context, exchange, *kept, model); });
}

}  // namespace hypura::ollama
