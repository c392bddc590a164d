// Where the bytes of a file are, behind all redirects, and what its server says of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "store/fetch/web_client.h"

namespace hypura {

struct BlobPlace {
  std::string url;      // that gives the bytes: it may be a signed one, whose time is over in an hour
  std::string token;    // for it; empty where it is of another origin than what was asked for
  uint64_t size = 0;    // bytes
  std::string sha256;   // that a redirect told, as Hugging Face's do (x-linked-etag); empty: none did
  std::string etag;     // empty: none
  bool ranges = false;  // the server gives parts of it
};

// Asks for the first byte, which servers with signed addresses answer too where they refuse HEAD. Fails with kIo.
Result<BlobPlace> locate_blob(WebClient& client, const std::string& url, const std::string& token,
                              const RetryPolicy& retries, const KeepGoing& keep_going);

// The header that asks for bytes of this version and no other; none where the version cannot be told.
std::vector<std::string> same_version(const std::string& etag);

struct ContentRange {
  ByteRange range;
  uint64_t size = 0;  // of the whole
};

// "bytes 0-99/1000"; nothing when that is none.
std::optional<ContentRange> read_content_range(std::string_view text);

// Digits and nothing else.
std::optional<uint64_t> whole_number(std::string_view text);

// What an error status means to a user, as a sentence that begins with `what`.
Error refused(const std::string& what, const WebHead& head, bool with_token);

}  // namespace hypura
