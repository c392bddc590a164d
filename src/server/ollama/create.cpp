// What makes models from others: POST /api/create, /api/copy
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "server/library.h"
#include "server/ollama/modelfile.h"
#include "server/ollama/named_request.h"
#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "server/ollama/routes.h"
#include "support/fail.h"

namespace hypura::ollama {

namespace {

struct CreateRequest {
  std::string name;
  bool stream = true;
  Modelfile file;
};

Result<CreateRequest> read_create(const Json& json) {
  Fields in(json, "CreateRequest");
  CreateRequest request;
  request.name = model_field(in);
  request.stream = in.boolean("stream").value_or(true);
  const std::string text = in.text("modelfile").value_or("");
  if (in.status() && !text.empty()) {
    auto file = read_modelfile(text);
    if (!file) {
      return propagate(file.error());
    }
    request.file = std::move(*file);
  }
  read_modelfile_fields(in, request.file);
  if (in.status() && request.name.empty()) {
    in.refuse({ErrorCode::kUsage, "model is required"});
  }
  if (in.status() && request.file.from.empty()) {
    in.refuse({ErrorCode::kUsage, "neither 'from' nor a FROM in the Modelfile says what the model is made from"});
  }
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return check_parameters(request.file.parameters).map([&] { return std::move(request); });
}

NewModel new_model(const CreateRequest& request, const ServedModel& from) {
  NewModel model;
  model.name = request.name;
  model.from = from.name;
  model.preset.system = request.file.system;
  model.preset.chat_template = request.file.prompt_template;
  model.preset.parameters = request.file.parameters.empty() ? "" : dump_json(request.file.parameters);
  model.preset.messages = request.file.messages.empty() ? "" : dump_json(request.file.messages);
  model.license = request.file.license;
  return model;
}

void create(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const CreateRequest& request,
            const ModelPtr& from) {
  if (from == nullptr) {
    exchange->respond(not_found(request.file.from));
    return;
  }
  context.library->create(new_model(request, *from), [exchange, stream = request.stream](const Status& done) {
    if (done) {
      succeed(*exchange, stream);
    } else {
      exchange->respond(error_reply(done.error()));
    }
  });
}

// Whether this client may change what is offered, where that can be; else the exchange is answered.
bool changes(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  if (context.library == nullptr) {
    handle_other_change(context, exchange);
    return false;
  }
  if (!may_change(context, *exchange)) {
    exchange->respond(error_reply(403, kMayNotChange));
    return false;
  }
  return true;
}

}  // namespace

void handle_create(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  if (!changes(context, exchange)) {
    return;
  }
  const std::optional<Json> body = read_body(*exchange);
  if (!body) {
    return;
  }
  auto request = read_create(*body);
  if (!request) {
    exchange->respond(error_reply(request.error()));
    return;
  }
  const auto kept = std::make_shared<CreateRequest>(std::move(*request));
  find_soon(context, kept->file.from,
            [&context, exchange, kept](const ModelPtr& from) { create(context, exchange, *kept, from); });
}

void handle_copy(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<Json> body = read_body(*exchange);
  if (!body) {
    return;
  }
  Fields in(*body, "CopyRequest");
  const std::string source = in.text("source").value_or("");
  const std::string destination = in.text("destination").value_or("");
  if (!in.status()) {
    exchange->respond(error_reply(in.status().error()));
    return;
  }
  find_soon(context, source, [&context, exchange, source, destination](const ModelPtr& model) {
    if (model == nullptr) {
      exchange->respond(not_found(source));
      return;
    }
    if (!changes(context, exchange)) {
      return;
    }
    NewModel copy;
    copy.name = destination;
    copy.from = model->name;
    context.library->create(std::move(copy), [exchange](const Status& done) {
      HttpResponse nothing;
      nothing.content_type.clear();
      exchange->respond(done ? nothing : error_reply(done.error()));
    });
  });
}

}  // namespace hypura::ollama
