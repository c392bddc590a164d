// Server-sent events, as the streams under /v1 write them.
#pragma once

#include <string>
#include <string_view>

#include "server/exchange.h"
#include "server/json/json.h"

namespace hypura::v1 {

// The head of a stream that begins with `body`.
HttpResponse sse_head(std::string body);

// An event without a name.
std::string sse_data(const Json& json);

// An event of the name that its field `type` has.
std::string sse_event(const Json& json);

// No event: a comment, which readers of events pass over.
inline constexpr std::string_view kSseComment = ":\n\n";

inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";

}  // namespace hypura::v1
