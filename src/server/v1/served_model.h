// From a request under /v1 to the model that answers it.
#pragma once

#include <string>

#include "hypura/result.h"
#include "server/api.h"
#include "server/exchange.h"

namespace hypura::v1 {

// Answers with an error, in the form of the API that the request's path belongs to.
void reply_error(Exchange& exchange, const Error& error);

// The model of that name; when there is none the exchange is answered with 404, and null is given.
const ServedModel* find_model(const ApiContext& context, Exchange& exchange, const std::string& name);

// The model of a request that was read, by its field `model`. When it could not be read, or has no such model, the
// exchange is answered, and null is given.
template <class Request>
const ServedModel* served_model(const ApiContext& context, Exchange& exchange, const Result<Request>& request) {
  if (!request) {
    reply_error(exchange, request.error());
    return nullptr;
  }
  return find_model(context, exchange, request->model);
}

}  // namespace hypura::v1
