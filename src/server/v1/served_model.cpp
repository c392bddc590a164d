#include "server/v1/served_model.h"

#include <fmt/format.h>

#include <utility>

#include "server/answering.h"
#include "server/library.h"
#include "server/router.h"

namespace hypura::v1 {

void reply_error(Exchange& exchange, const Error& error) {
  exchange.respond(error_response(exchange.request().path, http_status(error.code), error.message));
}

void with_model(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const std::string& name,
                std::function<void(ModelPtr)> then) {
  find_soon(context, name, [exchange, name, then = std::move(then)](ModelPtr model) {
    if (model == nullptr) {
      exchange->respond(error_response(exchange->request().path, 404, fmt::format("model '{}' not found", name)));
      return;
    }
    then(std::move(model));
  });
}

}  // namespace hypura::v1
