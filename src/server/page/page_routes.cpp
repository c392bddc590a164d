#include <algorithm>

#include "server/api.h"
#include "server/library.h"
#include "server/metrics.h"
#include "server/page/live_json.h"
#include "server/page/page_data.h"
#include "server/server_text.h"

namespace hypura {

namespace {

using Reply = std::shared_ptr<Exchange>;

// Calls `take` with each trimmed element of a header's comma-separated list, until it gives true.
template <class Take>
bool any_element(std::string_view list, const Take& take) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (take(trimmed(list.substr(0, comma)))) {
      return true;
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// Browsers name text/html; programs that take anything ("*/*") do not, and want to hear that Ollama is running.
bool wants_page(const HttpRequest& request) {
  return any_element(request.header("accept"), [](std::string_view element) {
    return equal_ignoring_case(trimmed(element.substr(0, element.find(';'))), "text/html");
  });
}

// Weakly compared, as If-None-Match asks.
bool has_tag(const HttpRequest& request, std::string_view tag) {
  return any_element(request.header("if-none-match"), [&](std::string_view element) {
    if (element.substr(0, 2) == "W/") {
      element.remove_prefix(2);
    }
    return element == tag || element == "*";
  });
}

void show_root(const ApiContext& context, const Reply& exchange) {
  HttpResponse response;
  response.headers = {{"Vary", "Accept"}};
  if (!wants_page(exchange->request())) {
    response.content_type = "text/plain; charset=utf-8";
    response.body = "Ollama is running";
    exchange->respond(std::move(response));
    return;
  }
  refresh(context, [] {});  // for the list of models, which the page reads in a moment
  const PageData& page = page_data();
  response.headers.insert(response.headers.end(), {{"ETag", page.tag},
                                                   {"Cache-Control", "no-cache"},
                                                   {"Content-Security-Policy", page.policy},
                                                   {"X-Content-Type-Options", "nosniff"},
                                                   {"Referrer-Policy", "no-referrer"}});
  if (has_tag(exchange->request(), page.tag)) {
    response.status = 304;
    response.content_type.clear();
  } else {
    response.content_type = "text/html; charset=utf-8";
    response.body = page.html;
  }
  exchange->respond(std::move(response));
}

void show_metrics(const ApiContext& context, const Reply& exchange) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = prometheus(context.metrics, context.host);
  exchange->respond(std::move(response));
}

void show_live(const ApiContext& context, const Reply& exchange) {
  HttpResponse response;
  response.headers = {{"Cache-Control", "no-store"}};
  response.body = live_json(context.host);
  exchange->respond(std::move(response));
}

}  // namespace

std::vector<Route> page_routes() {
  return {{"GET", "/", show_root, true}, {"GET", "/metrics", show_metrics}, {"GET", "/hypura/live", show_live}};
}

}  // namespace hypura
