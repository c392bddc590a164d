// From a request under /v1 to the model that answers it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "hypura/result.h"
#include "server/api.h"
#include "server/exchange.h"

namespace hypura::v1 {

// Answers with an error, in the form of the API that the request's path belongs to.
void reply_error(Exchange& exchange, const Error& error);

// Calls `then` with the model of that name, or answers with 404. As find_soon (server/library.h) in all else.
void with_model(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const std::string& name,
                std::function<void(ModelPtr)> then);

// Calls `then(request, model)` with a request that was read and the model that its field `model` names. When it could
// not be read, or there is no such model, the exchange is answered.
template <class Request, class Then>
void with_served_model(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, Result<Request> request,
                       Then then) {
  if (!request) {
    reply_error(*exchange, request.error());
    return;
  }
  const auto kept = std::make_shared<Request>(std::move(*request));
  with_model(context, exchange, kept->model, [kept, then](ModelPtr model) { then(*kept, std::move(model)); });
}

}  // namespace hypura::v1
