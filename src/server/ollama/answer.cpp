#include "server/ollama/answer.h"

#include <string>
#include <utility>

#include "server/json/time.h"
#include "server/ollama/options.h"
#include "server/ollama/replies.h"
#include "server/preset.h"

namespace hypura::ollama {

namespace {

// The prompt that the model would see, instead of an answer.
void render(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const ModelPtr& model,
            const AnswerFields& fields, AnswerRequest request) {
  const auto respond = [exchange, name = fields.model, asked = std::move(request)](Result<ModelLease> lease) {
    if (!lease) {
      exchange->respond(error_reply(lease.error()));
      return;
    }
    const Result<std::string> prompt = lease->generator->render(asked);
    release(std::move(*lease));
    exchange->respond(prompt ? json_reply({{"model", name},
                                           {"created_at", rfc3339(std::chrono::system_clock::now())},
                                           {"_debug_info", {{"rendered_template", *prompt}, {"image_count", 0}}}})
                             : error_reply(prompt.error()));
  };
  context.host.lease(model, fields.keep, respond);
}

}  // namespace

std::optional<HttpResponse> refusal(const AnswerFields& fields, const ModelPtr& model) {
  if (model == nullptr) {
    return not_found(fields.model);
  }
  if (fields.think.value_or(false) && !model->card.thinking) {
    return no_support(fields.model, "thinking");
  }
  if (fields.images) {
    return no_support(fields.model, "vision");
  }
  return std::nullopt;
}

bool wants_unload(const AnswerFields& fields) {
  return fields.keep && fields.keep->time == Nanoseconds(0);
}

void load_or_unload(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const ModelPtr& model,
                    const AnswerFields& fields, RecordShape shape) {
  if (wants_unload(fields)) {
    context.host.unload(model, [exchange, name = fields.model, shape] {
      exchange->respond(json_reply(load_record(name, shape, "unload")));
    });
    return;
  }
  context.host.lease(model, fields.keep, [exchange, name = fields.model, shape](Result<ModelLease> lease) {
    if (!lease) {
      exchange->respond(error_reply(lease.error()));
      return;
    }
    const double seconds = lease->load_seconds;
    release(std::move(*lease));
    exchange->respond(json_reply(load_record(name, shape, "load", seconds)));
  });
}

void start_answer(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const ModelPtr& model,
                  const AnswerFields& fields, AnswerRequest request, RecordShape shape, bool with_context) {
  // A model's own parameters may be of a store that nobody checked.
  const Result<Options> options = options_over(*model, fields.given_options ? &*fields.given_options : nullptr);
  if (!options) {
    exchange->respond(error_reply(options.error()));
    return;
  }
  apply(*options, context.context, request);
  begin_conversation(*model, request);
  request.json_schema = fields.json_schema;
  if (model->card.thinking && !request.prompt) {
    request.think = fields.think.value_or(true);
    request.effort = fields.effort;
  }
  request.logprobs = fields.logprobs;
  request.top_logprobs = fields.logprobs ? fields.top_logprobs : 0;
  request.truncate = fields.truncate;
  request.shift = fields.shift;
  if (fields.render_only) {
    render(context, exchange, model, fields, std::move(request));
    return;
  }
  AnswerJob job;
  job.model = model;
  job.keep = fields.keep;
  job.request = std::move(request);
  job.stream = fields.stream;
  job.format = std::make_unique<RecordFormat>(fields.model, shape, with_context);
  run_answer(context, exchange, std::move(job));
}

}  // namespace hypura::ollama
