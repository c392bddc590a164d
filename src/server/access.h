// Who may ask this server for anything: by the Host it was called by, the web page that asks, and the key it shows.
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "server/exchange.h"

namespace hypura {

struct AccessRules {
  // For a server that listens on loopback only: the Host must be this machine. A web page whose name was made to point
  // to 127.0.0.1 (DNS rebinding) shows by it.
  bool check_host = true;
  std::string machine;                 // this machine's name
  std::vector<std::string> addresses;  // its IP addresses, as inet_ntop writes them
  std::vector<std::string> origins;    // allowed besides those that always are; see check_origin_rule
  std::string api_key;                 // empty: none is asked for
};

// `machine` and `addresses` of this machine, and defaults.
AccessRules local_access_rules();

// Whether `rule` can be an entry of AccessRules::origins: "*" for all, or an origin like "https://app.example", in
// which each "*" stands for any text, and a last ":*" for any port. Fails with kUsage.
Status check_origin_rule(const std::string& rule);

// `host` is the header: a name or an address, perhaps with a port.
bool host_allowed(const AccessRules& rules, std::string_view host);

bool origin_allowed(const AccessRules& rules, std::string_view origin);

// Whether the request shows the key, as "Authorization: Bearer KEY" or "x-api-key: KEY", or needs none.
bool key_accepted(const AccessRules& rules, const HttpRequest& request);

enum class Access { kAllowed, kForbidden, kPreflight, kKeyMissing };

// What to do with a request: look at Host, then Origin, then the key. kPreflight: a browser asks whether a page's
// request would be allowed, and it would.
Access check_access(const AccessRules& rules, const HttpRequest& request);

// What a browser needs to hand a response to the page that asked; nothing when no page did, or one of this server's.
void add_cors_headers(const AccessRules& rules, const HttpRequest& request, HttpResponse& response);

// 204, with what pages may send.
HttpResponse preflight_response(const HttpRequest& request);

}  // namespace hypura
