#include <string>

#include "server/library.h"
#include "server/openai/handlers.h"
#include "server/openai/replies.h"
#include "server/v1/served_model.h"

namespace hypura::openai {

namespace {

Json model_json(const std::string& id, const ServedModel& model) {
  return {{"id", id}, {"object", "model"}, {"created", model.card.modified}, {"owned_by", "library"}};
}

}  // namespace

void list_models(const ApiContext& context, const ExchangePtr& exchange) {
  refresh(context, [&context, exchange] {
    Json data = Json::array();
    for (const ModelPtr& model : context.host.models()) {
      data.push_back(model_json(model->name, *model));
    }
    exchange->respond(json_reply({{"object", "list"}, {"data", std::move(data)}}));
  });
}

void show_model(const ApiContext& context, const ExchangePtr& exchange) {
  constexpr std::string_view kBefore = "/v1/models/";
  const std::string id = exchange->request().path.substr(kBefore.size());
  v1::with_model(context, exchange, id,
                 [exchange, id](const ModelPtr& model) { exchange->respond(json_reply(model_json(id, *model))); });
}

}  // namespace hypura::openai
