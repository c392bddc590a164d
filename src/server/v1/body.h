// The body of a request under /v1.
#pragma once

#include "hypura/result.h"
#include "server/exchange.h"
#include "server/json/json.h"

namespace hypura::v1 {

// The body as JSON, whatever its Content-Type. Fails with kUsage: "EOF" for an empty one, and on a compressed one.
Result<Json> read_body(const HttpRequest& request);

}  // namespace hypura::v1
