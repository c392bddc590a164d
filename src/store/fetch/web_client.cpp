#include "store/fetch/web_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <mutex>
#include <string_view>
#include <utility>

#include "store/fetch/web_address.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

constexpr long kConnectSeconds = 20;
constexpr long kSilentSeconds = 60;
constexpr long kBufferBytes = 256 * 1024;
constexpr int kMostRedirects = 10;
constexpr size_t kMostHeaders = 256;
constexpr auto kLookEvery = std::chrono::milliseconds(100);

std::string_view stripped(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

bool passes_by_itself(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
      return true;
    default:
      return false;
  }
}

WebFailure stopped_by_user() {
  return {Error{ErrorCode::kCancelled, "stopped"}, false};
}

// As CURLOPT_RANGE takes it.
std::string range_words(const ByteRange& range) {
  return fmt::format("{}-{}", range.begin, range.end - 1);
}

}  // namespace

struct WebClient::Transfer {
  WebCall call;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  WebHead head;
  bool complete = false;  // the head
  bool wanted = true;     // the body
  Status status;          // of what was called
  std::array<char, CURL_ERROR_SIZE> words{};

  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }

  void add_header(const std::string& line) { headers = curl_slist_append(headers, line.c_str()); }

  void prepare();
  bool take_header(std::string_view line);
  bool take_bytes(std::span<const uint8_t> bytes);

  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->take_header({data, size * count}) ? size * count : 0;
  }
  static size_t on_body(char* data, size_t size, size_t count, void* self) {
    const std::span bytes(reinterpret_cast<const uint8_t*>(data), size * count);
    return static_cast<Transfer*>(self)->take_bytes(bytes) ? bytes.size() : 0;
  }
};

void WebClient::Transfer::prepare() {
  const auto set = [this](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, call.request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  // With HTTP/2 several ranges would share one connection, and its speed.
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_USERAGENT, "hypura/" HYPURA_VERSION);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
  set(CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_ERRORBUFFER, words.data());
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  if (call.request.range) {
    set(CURLOPT_RANGE, range_words(*call.request.range).c_str());
  }
  if (!call.request.token.empty()) {
    add_header("Authorization: Bearer " + call.request.token);
  }
  for (const std::string& line : call.request.headers) {
    add_header(line);
  }
  set(CURLOPT_HTTPHEADER, headers);
}

bool WebClient::Transfer::take_header(std::string_view line) {
  if (line.starts_with("HTTP/")) {  // also after one of status 1xx
    head = {0, call.request.url, {}};
    const size_t space = line.find(' ');
    const std::string digits(line.substr(std::min(space, line.size())));
    head.status = std::atoi(digits.c_str());
    return true;
  }
  if (stripped(line).empty()) {
    if (head.status < 200) {
      return true;
    }
    complete = true;
    const Result<bool> wants = call.on_head ? call.on_head(head) : true;
    status = wants ? Status() : propagate(wants.error());
    wanted = wants.value_or(false);
    return wanted;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || head.headers.size() >= kMostHeaders) {
    return true;
  }
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char letter) { return static_cast<char>(std::tolower(static_cast<unsigned char>(letter))); });
  head.headers.emplace(std::move(name), stripped(line.substr(colon + 1)));
  return true;
}

bool WebClient::Transfer::take_bytes(std::span<const uint8_t> bytes) {
  status = call.on_bytes ? call.on_bytes(bytes) : Status();
  return status.has_value();
}

std::string WebHead::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

Result<std::unique_ptr<WebClient>> WebClient::make() {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = kReady == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) {
    return fail(ErrorCode::kInternal, "libcurl cannot be started");
  }
  return std::unique_ptr<WebClient>(new WebClient(multi));
}

WebClient::WebClient(void* multi) : multi_(multi) {}

WebClient::~WebClient() {
  drop();
  curl_multi_cleanup(multi_);
}

void WebClient::begin(WebCall call) {
  auto transfer = std::make_unique<Transfer>();
  transfer->call = std::move(call);
  transfer->easy = curl_easy_init();
  transfer->prepare();
  curl_multi_add_handle(multi_, transfer->easy);
  calls_.push_back(std::move(transfer));
}

void WebClient::work(std::chrono::milliseconds most) {
  int running = 0;
  curl_multi_perform(multi_, &running);
  if (most.count() > 0 && running == static_cast<int>(calls_.size())) {
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(most.count()), nullptr);
    curl_multi_perform(multi_, &running);
  }
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) {
      end(message->easy_handle, message->data.result);
    }
  }
}

void WebClient::end(void* easy, int code) {
  const auto found =
      std::find_if(calls_.begin(), calls_.end(), [easy](const auto& call) { return call->easy == easy; });
  if (found == calls_.end()) {
    return;
  }
  const std::unique_ptr<Transfer> transfer = std::move(*found);
  calls_.erase(found);
  curl_multi_remove_handle(multi_, easy);
  const auto& call = transfer->call;
  if (!call.on_end) {
    return;
  }
  const auto curl_code = static_cast<CURLcode>(code);
  if (!transfer->status) {
    call.on_end(tl::make_unexpected(WebFailure{transfer->status.error(), false}));
  } else if (curl_code == CURLE_OK || (transfer->complete && !transfer->wanted)) {
    call.on_end(transfer->head);
  } else {
    const char* words = transfer->words.front() != '\0' ? transfer->words.data() : curl_easy_strerror(curl_code);
    const Error error{ErrorCode::kIo, fmt::format("{}: {}", call.request.url, printable(words))};
    call.on_end(tl::make_unexpected(WebFailure{error, passes_by_itself(curl_code)}));
  }
}

void WebClient::drop() {
  for (const auto& call : calls_) {
    curl_multi_remove_handle(multi_, call->easy);
  }
  calls_.clear();
}

WebResult<WebPage> WebClient::get_one(const WebRequest& request, std::optional<size_t> most,
                                      const KeepGoing& keep_going) {
  WebPage page;
  std::optional<WebResult<WebHead>> ended;
  begin({request, [&most](const WebHead& head) -> Result<bool> { return most && head.status / 100 != 3; },
         [&](std::span<const uint8_t> bytes) -> Status {
           if (bytes.size() > *most - page.body.size()) {
             return fail(ErrorCode::kIo, "{}: the answer is longer than the {} bytes that it may have", request.url,
                         *most);
           }
           page.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
           return {};
         },
         [&ended](const WebResult<WebHead>& result) { ended = result; }});
  while (!ended) {
    if (keep_going && !keep_going()) {
      drop();
      return tl::make_unexpected(stopped_by_user());
    }
    work(kLookEvery);
  }
  if (!*ended) {
    return tl::make_unexpected(ended->error());
  }
  page.head = **ended;
  return page;
}

WebResult<WebPage> WebClient::get(WebRequest request, std::optional<size_t> most, const KeepGoing& keep_going) {
  const std::string first = origin_of(request.url);
  const std::string token = request.token;
  std::map<std::string, std::string> seen;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    auto page = get_one(request, most, keep_going);
    const std::string location = page ? page->head.header("location") : std::string();
    if (!page || page->head.status / 100 != 3 || location.empty()) {
      if (page) {
        page->seen = std::move(seen);
      }
      return page;
    }
    seen.merge(page->head.headers);
    const auto next = redirected(request.url, location);
    if (!next) {
      return tl::make_unexpected(WebFailure{next.error(), false});
    }
    request.url = *next;
    request.token = origin_of(*next) == first ? token : std::string();
  }
  return tl::make_unexpected(
      WebFailure{Error{ErrorCode::kIo, fmt::format("{}: more than {} redirects", request.url, kMostRedirects)}, false});
}

bool is_temporary(int status) {
  constexpr std::array kStatuses = {408, 425, 429, 500, 502, 503, 504};
  return std::find(kStatuses.begin(), kStatuses.end(), status) != kStatuses.end();
}

std::chrono::milliseconds RetryPolicy::wait(unsigned failures) const {
  const unsigned doublings = std::min(failures - 1, 16U);
  return std::min(longest_wait, first_wait * (int64_t{1} << doublings));
}

}  // namespace hypura
