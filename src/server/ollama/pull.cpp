// POST /api/pull: fetches a model and tells how far it is.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "server/library.h"
#include "server/ollama/named_request.h"
#include "server/ollama/replies.h"
#include "server/ollama/routes.h"
#include "server/pulls.h"
#include "support/fail.h"

namespace hypura::ollama {

namespace {

constexpr auto kBetweenRecords = std::chrono::milliseconds(100);
constexpr size_t kShortDigest = 12;

Json progress_record(const FetchProgress& progress) {
  if (progress.state == DownloadProgress::State::kChecking) {
    return {{"status", "verifying sha256 digest"}};
  }
  const RemoteFile& file = *progress.file;
  const bool waits = progress.state == DownloadProgress::State::kWaiting;
  // Clients draw one bar for each digest.
  const std::string digest = file.sha256.empty() ? file.name : file.sha256;
  Json record = {{"status", waits ? "waiting for another program that fetches the same"
                                  : "pulling " + digest.substr(0, kShortDigest)},
                 {"digest", "sha256:" + digest},
                 {"total", file.size}};
  if (progress.file_bytes > 0) {
    record["completed"] = progress.file_bytes;
  }
  return record;
}

// One client that waits for a pull. Its functions are called by the pull's thread, then by the library's.
class WaitingClient {
 public:
  WaitingClient(std::shared_ptr<Exchange> exchange, bool stream) : exchange_(std::move(exchange)), stream_(stream) {}

  void begin() {
    if (stream_) {
      HttpResponse response;
      response.content_type = "application/x-ndjson";
      response.body = line({{"status", "pulling manifest"}});
      exchange_->start(std::move(response));
    }
  }

  void progress(const FetchProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    const bool other = progress.file != file_ || progress.state != state_;
    if (!stream_ || (!other && now - told_ < kBetweenRecords)) {
      return;
    }
    told_ = now;
    file_ = progress.file;
    state_ = progress.state;
    exchange_->write(line(progress_record(progress)));
  }

  void end(const Status& status) {
    if (!stream_) {
      exchange_->respond(status ? json_reply({{"status", "success"}}) : error_reply(status.error()));
      return;
    }
    exchange_->write(line(status ? Json{{"status", "success"}} : Json{{"error", status.error().message}}));
    exchange_->finish();
  }

 private:
  static std::string line(const Json& record) { return dump_json(record) + "\n"; }

  const std::shared_ptr<Exchange> exchange_;
  const bool stream_;
  std::chrono::steady_clock::time_point told_;
  const RemoteFile* file_ = nullptr;
  DownloadProgress::State state_ = DownloadProgress::State::kFetching;
};

void pull(const ApiContext& context, const std::shared_ptr<Exchange>& exchange, const NamedRequest& request) {
  auto name = read_model_name(request.name, FilesAs::kErrors).and_then(only_reading);
  if (!name) {
    exchange->respond(error_reply(name.error()));
    return;
  }
  // A client could have any server that this machine reaches asked for anything.
  if (std::holds_alternative<AddressName>(*name)) {
    exchange->respond(
        error_reply(400, "an address is fetched by `hypura pull` only; name a repository or a registry's model"));
    return;
  }
  const auto client = std::make_shared<WaitingClient>(exchange, request.stream);
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  // Before the first record, which must not come after the pull's own.
  const auto started = std::make_shared<std::once_flag>();
  const auto begin = [client, started] { std::call_once(*started, [&client] { client->begin(); }); };
  const auto done = [&context, client, begin](const Status& status) {
    begin();
    if (!status) {
      client->end(status);
      return;
    }
    context.library->changed([client](const Status& seen) { client->end(seen); });
  };
  const auto progress = [client, begin](const FetchProgress& now) {
    begin();
    client->progress(now);
  };
  exchange->on_gone([stop] { *stop = true; });
  if (Status status = context.pulls->begin(std::move(*name), stop, progress, done); !status) {
    exchange->respond(error_reply(status.error()));
    return;
  }
  begin();
}

}  // namespace

void handle_pull(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<NamedRequest> request = read_named(*exchange, "PullRequest");
  if (!request) {
    return;
  }
  find_soon(context, request->name, [&context, exchange, asked = *request](const ModelPtr& model) {
    if (model != nullptr) {
      succeed(*exchange, asked.stream);  // setup flows pull before they chat
    } else if (context.library == nullptr || context.pulls == nullptr) {
      exchange->respond(
          error_reply(404, fmt::format("model '{}' not found: {}", asked.name, only_served(context.host))));
    } else if (!may_change(context, *exchange)) {
      exchange->respond(error_reply(403, kMayNotChange));
    } else {
      pull(context, exchange, asked);
    }
  });
}

}  // namespace hypura::ollama
