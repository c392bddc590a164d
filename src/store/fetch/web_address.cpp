#include "store/fetch/web_address.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "support/fail.h"

namespace hypura {

namespace {

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

Url parse_url(const std::string& text) {
  Url url(curl_url());
  if (url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    url.reset();
  }
  return url;
}

std::string url_part(const Url& url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (!url || curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) {
    return {};
  }
  const std::unique_ptr<char, decltype(&curl_free)> owned(text, &curl_free);
  return text;
}

bool is_web_scheme(std::string_view scheme) {
  return scheme == "http" || scheme == "https";
}

std::string scheme_of(const Url& url) {
  return url_part(url, CURLUPART_SCHEME, 0);  // in lower case
}

}  // namespace

std::string origin_of(const std::string& text) {
  const Url url = parse_url(text);
  const std::string scheme = scheme_of(url);
  std::string host = url_part(url, CURLUPART_HOST, 0);
  if (!is_web_scheme(scheme) || host.empty()) {
    return {};
  }
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char letter) { return static_cast<char>(std::tolower(static_cast<unsigned char>(letter))); });
  return fmt::format("{}://{}:{}", scheme, host, url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

Result<std::string> redirected(const std::string& base, const std::string& location) {
  const Url url = parse_url(base);
  const std::string before = scheme_of(url);
  std::string target;
  if (url && curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK) {
    target = url_part(url, CURLUPART_URL, 0);
  }
  const std::string after = scheme_of(url);
  if (target.empty() || !is_web_scheme(after)) {
    return fail(ErrorCode::kIo, "{}: the server leads to '{}', which is no address of http or https", base, location);
  }
  if (before == "https" && after == "http") {
    return fail(ErrorCode::kIo, "{}: the server leads from https to '{}', which anyone on the way could change", base,
                location);
  }
  return target;
}

std::string escaped_path(std::string_view path) {
  std::string text;
  for (const char letter : path) {
    const auto byte = static_cast<unsigned char>(letter);
    const bool plain = std::isalnum(byte) != 0 || std::string_view("-._~/").find(letter) != std::string_view::npos;
    text += plain ? std::string(1, letter) : fmt::format("%{:02X}", byte);
  }
  return text;
}

}  // namespace hypura
