#include "server/v1/served_model.h"

#include <fmt/format.h>

#include "server/answering.h"
#include "server/router.h"

namespace hypura::v1 {

void reply_error(Exchange& exchange, const Error& error) {
  exchange.respond(error_response(exchange.request().path, http_status(error.code), error.message));
}

const ServedModel* find_model(const ApiContext& context, Exchange& exchange, const std::string& name) {
  const ServedModel* model = context.host.find(name);
  if (model == nullptr) {
    exchange.respond(error_response(exchange.request().path, 404, fmt::format("model '{}' not found", name)));
  }
  return model;
}

}  // namespace hypura::v1
