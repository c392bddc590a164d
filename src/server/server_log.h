// The log's line of a request.
#pragma once

#include <string>
#include <string_view>

#include "server/exchange.h"
#include "server/http/http_service.h"

namespace hypura {

// "msg=request method=POST path=/api/chat status=200 ms=1234.5 bytes=812 in=20 out=100". Tokens are left out where
// there are none; " cut=9000->2048" says that a prompt was cut, from and to how many tokens; a value with spaces,
// quotes or control characters is quoted.
std::string request_log_line(const HttpRequest& request, const HttpOutcome& outcome);

// Whether the line is for debugging only: what the page and Prometheus ask for again and again, when it went well.
// `route` is Router::label().
bool is_routine(std::string_view route, const HttpOutcome& outcome);

}  // namespace hypura
