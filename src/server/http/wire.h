// Responses as bytes.
#pragma once

#include <string>
#include <string_view>

#include "server/exchange.h"

namespace hypura {

// How the client is told where a body ends.
enum class BodyFraming {
  kLength,   // all of it is in the response
  kChunked,  // pieces, each with its length
  kClose     // pieces; the connection's end is theirs (HTTP/1.0)
};

// Status line and headers, with the empty line behind them. Characters that would begin a new header are left out.
std::string response_head(const HttpResponse& response, BodyFraming framing, bool keep_alive);

// A piece of a chunked body; not empty, as an empty one is the end.
std::string chunk(std::string_view piece);

inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace hypura
