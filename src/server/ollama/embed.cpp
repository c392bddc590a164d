// POST /api/embed and its forerunner, POST /api/embeddings
#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>

#include "server/answering.h"
#include "server/embedding.h"
#include "server/json/time.h"
#include "server/library.h"
#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "server/ollama/routes.h"

namespace hypura::ollama {

namespace {

using Clock = std::chrono::steady_clock;

HttpResponse failure(const Error& error) {
  return error.code == ErrorCode::kContextFull ? error_reply(400, "the input length exceeds the context length")
                                               : error_reply(error);
}

// Numbers are written as floats, which a JSON library would make doubles of, twice as long.
HttpResponse embed_reply(const EmbedFields& request, const Embeddings& embeddings, Clock::time_point start) {
  std::string vectors;
  for (const std::vector<float>& vector : embeddings.values) {
    vectors += (vectors.empty() ? "" : ",") + floats_to_json(normalised(vector, request.dimensions));
  }
  const std::string body = fmt::format(R"({{"model":{},"embeddings":[{}])", dump_json(request.model), vectors);
  const std::chrono::duration<double> total = Clock::now() - start;
  HttpResponse response;
  response.body =
      body + fmt::format(R"(,"total_duration":{},"load_duration":{},"prompt_eval_count":{}}})",
                         nanoseconds_of(total.count()), nanoseconds_of(embeddings.load_seconds), embeddings.tokens);
  return response;
}

HttpResponse embeddings_reply(const Embeddings& embeddings) {
  HttpResponse response;
  response.body = fmt::format(R"({{"embedding":{}}})",
                              embeddings.values.empty() ? "[]" : floats_to_json(embeddings.values.front()));
  return response;
}

using ReplyTo = HttpResponse(const EmbedFields& request, const Embeddings& embeddings, Clock::time_point start);

void embed(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const EmbedFields& request,
           ModelPtr model, ReplyTo* reply) {
  if (model == nullptr) {
    exchange->respond(not_found(request.model));
    return;
  }
  if (!model->card.embeddings) {
    exchange->respond(no_support(request.model, "embeddings", 501));
    return;
  }
  EmbeddingJob job{std::move(model), request.keep, {}, request.truncate};
  for (const std::string& text : request.texts) {
    job.texts.push_back({text});
  }
  run_embedding(context, exchange, std::move(job),
                [request, reply, start = Clock::now()](const Result<Embeddings>& embeddings) {
                  return embeddings ? reply(request, *embeddings, start) : failure(embeddings.error());
                });
}

// Reads, checks and runs a request; `reply` writes what came.
template <class Read>
void handle(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, Read read, ReplyTo* reply) {
  const std::optional<Json> json = read_body(*exchange);
  if (!json) {
    return;
  }
  const Result<EmbedFields> request = read(*json);
  if (!request) {
    exchange->respond(error_reply(request.error()));
    return;
  }
  const auto then = [&context, exchange, asked = *request, reply](ModelPtr model) {
    embed(context, exchange, asked, std::move(model), reply);
  };
  find_soon(context, request->model, then);
}

}  // namespace

void handle_embed(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  handle(context, exchange, read_embed, embed_reply);
}

void handle_embeddings(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  handle(context, exchange, read_embeddings,
         [](const EmbedFields& /*request*/, const Embeddings& embeddings, Clock::time_point /*start*/) {
           return embeddings_reply(embeddings);
         });
}

}  // namespace hypura::ollama
