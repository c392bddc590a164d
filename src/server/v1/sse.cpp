#include "server/v1/sse.h"

#include <utility>

namespace hypura::v1 {

HttpResponse sse_head(std::string body) {
  HttpResponse head;
  head.content_type = "text/event-stream";
  head.body = std::move(body);
  return head;
}

std::string sse_data(const Json& json) {
  return "data: " + dump_json(json) + "\n\n";
}

std::string sse_event(const Json& json) {
  return "event: " + json.value("type", std::string()) + "\n" + sse_data(json);
}

}  // namespace hypura::v1
