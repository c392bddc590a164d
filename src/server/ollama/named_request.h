// Requests about a model by its name, and how they end. Any thread.
#pragma once

#include <optional>
#include <string>

#include "server/exchange.h"
#include "server/model_host.h"

namespace hypura::ollama {

struct NamedRequest {
  std::string name;
  bool stream = true;
};

// The name that a request is about; when it has none, the exchange is answered and nothing returned.
std::optional<NamedRequest> read_named(Exchange& exchange, const std::string& owner);

// Why a model that is not offered cannot be, where nothing changes what is.
std::string only_served(const ModelHost& host);

// {"status":"success"}, in the form of progress that clients wait for the end of.
void succeed(Exchange& exchange, bool stream);

}  // namespace hypura::ollama
