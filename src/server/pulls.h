// Models that clients have fetched, each on a thread of its own.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "hypura/result.h"
#include "store/fetch/fetch_model.h"
#include "store/names/model_name.h"

namespace hypura {

// Any thread. Its destructor ends what is under way, which is kept for the next time, and waits for it.
class ModelPulls {
 public:
  using Progress = std::function<void(const FetchProgress&)>;
  using Done = std::function<void(const Status&)>;
  using Stop = std::shared_ptr<std::atomic<bool>>;

  static constexpr size_t kMost = 4;  // at once

  explicit ModelPulls(FetchSettings settings) : settings_(std::move(settings)) {}
  ~ModelPulls();
  ModelPulls(const ModelPulls&) = delete;
  ModelPulls& operator=(const ModelPulls&) = delete;

  // Fetches the model; both functions are called on its thread, `done` at last, once. `stop` ends it with kCancelled.
  // Fails with kBusy, and calls nothing, when kMost are under way.
  Status begin(NameReading name, Stop stop, Progress progress, Done done);

 private:
  struct Pull {
    std::thread thread;
    std::atomic<bool> ended = false;
  };

  Status fetch(const NameReading& name, const Stop& stop, const Progress& progress);

  const FetchSettings settings_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::list<Pull> pulls_;
};

}  // namespace hypura
