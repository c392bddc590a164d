#include "store/fetch/blob_place.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "store/fetch/sha256.h"
#include "store/fetch/web_address.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

std::string unquoted(std::string text) {
  std::erase(text, '"');
  return text;
}

}  // namespace

std::optional<uint64_t> whole_number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(number)
                                                                                   : std::nullopt;
}

std::optional<ContentRange> read_content_range(std::string_view text) {
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (!text.starts_with("bytes ") || dash == std::string_view::npos || slash == std::string_view::npos ||
      slash < dash) {
    return std::nullopt;
  }
  const auto first = whole_number(text.substr(6, dash - 6));
  const auto last = whole_number(text.substr(dash + 1, slash - dash - 1));
  const auto size = whole_number(text.substr(slash + 1));
  if (!first || !last || !size || *last < *first || *last >= *size) {
    return std::nullopt;
  }
  return ContentRange{{*first, *last + 1}, *size};
}

std::vector<std::string> same_version(const std::string& etag) {
  if (etag.empty() || etag.starts_with("W/")) {  // weak ones may not be asked for
    return {};
  }
  return {"If-Range: " + etag};
}

Result<BlobPlace> locate_blob(WebClient& client, const std::string& url, const std::string& token,
                              const RetryPolicy& retries, const KeepGoing& keep_going) {
  const WebRequest request{url, token, {}, ByteRange{0, 1}};
  const auto page = get_patiently(client, request, std::nullopt, retries, keep_going);
  if (!page) {
    return propagate(page.error());
  }
  const WebHead& head = page->head;
  std::optional<uint64_t> size;
  if (head.status == 206) {
    const auto range = read_content_range(head.header("content-range"));
    size = range ? std::optional(range->size) : std::nullopt;
  } else if (head.status == 200) {
    size = whole_number(head.header("content-length"));
  } else {
    return propagate(refused(url, head, !token.empty()));
  }
  if (!size) {
    return fail(ErrorCode::kIo, "{}: the server does not tell how long the file is", url);
  }
  BlobPlace place{head.url, {}, *size, {}, head.header("etag"), head.status == 206};
  place.token = origin_of(place.url) == origin_of(url) ? token : std::string();
  const auto linked = page->seen.find("x-linked-etag");
  if (linked != page->seen.end() && is_sha256(unquoted(linked->second))) {
    place.sha256 = unquoted(linked->second);
  }
  return place;
}

Error refused(const std::string& what, const WebHead& head, bool with_token) {
  std::string why = fmt::format("the server answered with status {}", head.status);
  const std::string said = printable(head.header("x-error-message").substr(0, 300));
  if (head.status == 401 || head.status == 403) {
    why += with_token ? "; the token may not read this: on Hugging Face, accept the model's terms on its page first"
                      : "; it is not there, or needs a token: set HF_TOKEN to one from huggingface.co/settings/tokens";
  } else if (head.status == 404) {
    why += ": it is not there; check the name";
  } else if (head.status == 429) {
    why += ": too many requests; try again later";
  }
  return {ErrorCode::kIo, fmt::format("{}: {}{}", what, why, said.empty() ? "" : fmt::format(" ({})", said))};
}

}  // namespace hypura
