#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/embedding.h"
#include "server/json/fields.h"
#include "server/openai/base64.h"
#include "server/openai/handlers.h"
#include "server/openai/replies.h"
#include "server/openai/request_fields.h"
#include "server/v1/body.h"
#include "server/v1/refusing.h"
#include "server/v1/served_model.h"
#include "support/fail.h"

namespace hypura::openai {

namespace {

struct EmbeddingRequest {
  std::string model;
  std::vector<EmbedRequest> texts;
  size_t dimensions = 0;  // 0: all
  bool base64 = false;
};

// A string, an array of strings, an array of tokens, or an array of those.
std::vector<EmbedRequest> read_input(Fields& in) {
  const Json* input = in.find("input");
  if (input == nullptr || (input->is_structured() && input->empty()) || !(input->is_string() || input->is_array())) {
    v1::refuse(in, "invalid input");
    return {};
  }
  const Json alone = Json::array({*input});
  std::vector<EmbedRequest> texts;
  for (const Json& one : input->is_string() || is_tokens(*input) ? alone : *input) {
    EmbedRequest& text = texts.emplace_back();
    if (one.is_string()) {
      text.text = one.get<std::string>();
    } else if (is_tokens(one)) {
      text.tokens = one.get<std::vector<int32_t>>();
    } else {
      v1::refuse(in, "invalid input type: the input must be a string, an array of strings, or tokens");
      return {};
    }
  }
  return texts;
}

Result<EmbeddingRequest> read_embedding(const Json& json) {
  Fields in(json, "EmbedRequest");
  EmbeddingRequest request;
  request.model = read_model(in);
  request.texts = read_input(in);
  const std::string encoding = in.text("encoding_format").value_or("float");
  if (encoding != "float" && encoding != "base64") {
    v1::refuse(in, fmt::format("encoding_format \"{}\" is unknown; use float or base64", encoding));
  }
  request.base64 = encoding == "base64";
  const std::optional<int64_t> dimensions = in.integer("dimensions");
  if (dimensions && *dimensions < 1) {
    v1::refuse(in, "dimensions must be at least 1");
  }
  request.dimensions = static_cast<size_t>(std::max<int64_t>(dimensions.value_or(0), 0));
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return request;
}

// The vectors are written by hand, as a JSON value of each number would take many times their memory.
HttpResponse reply(const EmbeddingRequest& request, const Embeddings& embeddings) {
  HttpResponse response;
  response.body = R"({"object":"list","data":[)";
  for (size_t i = 0; i < embeddings.values.size(); ++i) {
    const std::vector<float> vector = normalised(embeddings.values[i], request.dimensions);
    response.body += fmt::format(R"({}{{"object":"embedding","embedding":{},"index":{}}})", i == 0 ? "" : ",",
                                 request.base64 ? "\"" + floats_to_base64(vector) + "\"" : floats_to_json(vector), i);
  }
  const Json usage = {{"prompt_tokens", embeddings.tokens}, {"total_tokens", embeddings.tokens}};
  response.body += fmt::format(R"(],"model":{},"usage":{}}})", dump_json(request.model), dump_json(usage));
  return response;
}

void start(const ApiContext& context, const ExchangePtr& exchange, EmbeddingRequest& asked, ModelPtr model) {
  if (!model->card.embeddings) {
    exchange->respond(error_reply(400, fmt::format("\"{}\" does not support embeddings", asked.model)));
    return;
  }
  EmbeddingJob job;
  job.model = std::move(model);
  job.texts = std::move(asked.texts);
  job.truncate = false;
  run_embedding(context, exchange, std::move(job), [request = std::move(asked)](const Result<Embeddings>& made) {
    return made ? reply(request, *made) : error_reply(made.error(), "input");
  });
}

}  // namespace

void embeddings(const ApiContext& context, const ExchangePtr& exchange) {
  const Result<Json> body = v1::read_body(exchange->request());
  Result<EmbeddingRequest> request = body ? read_embedding(*body) : propagate(body.error());
  v1::with_served_model(context, exchange, std::move(request),
                        [&context, exchange](EmbeddingRequest& asked, ModelPtr model) {
                          start(context, exchange, asked, std::move(model));
                        });
}

}  // namespace hypura::openai
