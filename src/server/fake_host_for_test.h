// A host of one model that needs no file, and a server around it that needs no socket.
#pragma once

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api.h"
#include "server/fake_exchange_for_test.h"
#include "server/fake_generator_for_test.h"
#include "server/metrics.h"
#include "server/model_host.h"
#include "support/fail.h"

namespace hypura {

class FakeHost : public ModelHost {
 public:
  std::shared_ptr<FakeGenerator> generator = std::make_shared<FakeGenerator>();
  std::optional<Error> load_error;
  double load_seconds = 0;
  bool hold = false;  // loading waits for load()
  std::optional<std::chrono::system_clock::time_point> expires{
      std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000))};

  // What was asked for.
  std::vector<std::optional<KeepAlive>> keeps;
  int unloads = 0;
  std::vector<OfferedModel> offered;
  std::atomic<int> leases{0};  // alive now
  std::optional<uint64_t> memory_limit;

  FakeHost() {
    model_->name = "stories:latest";
    model_->digest = std::string(64, 'a');
    ModelCard& card = model_->card;
    card.name = "stories";
    card.architecture = "llama";
    card.parameter_size = "83.7M";
    card.quantization = "Q4_0";
    card.parameters = 83'700'000;
    card.bytes = 47'000'000;
    card.modified = 1'700'000'000;
    card.trained_context = 2048;
    card.embedding_length = 512;
    card.chat_template = "{{ messages }}";
    card.metadata = R"({"general.architecture":"llama"})";
  }

  ModelCard& card() { return model_->card; }
  ServedModel& model() { return *model_; }

  std::vector<ModelPtr> models() const override { return {model_}; }

  ModelPtr find(const std::string& name) const override {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return lower == "stories" || lower == "stories:latest" ? model_ : nullptr;
  }

  void lease(const ModelPtr& /*model*/, std::optional<KeepAlive> keep,
             std::function<void(Result<ModelLease>)> ready) override {
    keeps.push_back(keep);
    waiting_.push_back(std::move(ready));
    if (!hold) {
      load();
    }
  }

  // For tests: all who wait get the model, or the error.
  void load() {
    for (auto& ready : std::exchange(waiting_, {})) {
      if (load_error) {
        ready(propagate(*load_error));
        continue;
      }
      set_loaded(true);
      ++leases;
      ready(ModelLease{generator, load_seconds, std::shared_ptr<void>(nullptr, [this](void*) { --leases; })});
    }
  }

  void unload(const ModelPtr& /*model*/, std::function<void()> done) override {
    ++unloads;
    set_loaded(false);
    done();
  }

  void offer(const std::vector<OfferedModel>& models) override { offered = models; }

  // For tests: what is loaded from now on.
  void replace(std::shared_ptr<FakeGenerator> other) {
    const std::lock_guard lock(mutex_);
    generator = std::move(other);
  }

  void limit_memory(std::optional<uint64_t> bytes) override { memory_limit = bytes; }
  std::vector<LoadedModel> loaded() const override {
    const std::lock_guard lock(mutex_);
    if (!is_loaded_) {
      return {};
    }
    return {{model_, expires, 50'000'000, generator->context}};
  }

  std::shared_ptr<Generator> current() const override {
    const std::lock_guard lock(mutex_);
    return is_loaded_ ? generator : nullptr;
  }

 private:
  void set_loaded(bool loaded) {
    const std::lock_guard lock(mutex_);
    is_loaded_ = loaded;
  }

  std::shared_ptr<ServedModel> model_ = std::make_shared<ServedModel>();
  std::vector<std::function<void(Result<ModelLease>)>> waiting_;
  mutable std::mutex mutex_;  // guards what follows, and `generator` where current() looks
  bool is_loaded_ = false;
};

// Hands requests to an API's routes as the server does.
class FakeApi {
 public:
  explicit FakeApi(std::vector<Route> routes) : routes_(std::move(routes)) {}

  FakeHost host;
  Metrics metrics;
  ApiContext context{host, metrics, 4096};

  FakeGenerator& generator() { return *host.generator; }

  // The exchange is null when no route takes the request.
  std::shared_ptr<FakeExchange> call(const std::string& method, const std::string& path, std::string body = {}) {
    for (const Route& route : routes_) {
      const bool method_fits = route.method == method || (method == "HEAD" && route.method == "GET" && route.head);
      if (method_fits && fits(route.pattern, path)) {
        auto exchange = std::make_shared<FakeExchange>(method, path, std::move(body));
        route.handle(context, exchange);
        return exchange;
      }
    }
    return nullptr;
  }

  std::shared_ptr<FakeExchange> post(const std::string& path, std::string body) {
    return call("POST", path, std::move(body));
  }

 private:
  static bool fits(std::string_view pattern, std::string_view path) {
    if (!pattern.empty() && pattern.back() == '*') {
      pattern.remove_suffix(1);
      return path.size() > pattern.size() && path.substr(0, pattern.size()) == pattern;
    }
    return pattern == path;
  }

  std::vector<Route> routes_;
};

}  // namespace hypura
