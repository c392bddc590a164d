// The models that a server offers: loaded when first asked for, unloaded when long unused.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hypura/generator.h"

namespace hypura {

using Nanoseconds = std::chrono::nanoseconds;

// How long a model stays after its last answer; negative: for ever.
struct KeepAlive {
  Nanoseconds time{std::chrono::minutes(5)};
};

// A model as clients see it, loaded or not.
struct ServedModel {
  std::string name;    // "hypura-stories-moe:latest"
  std::string digest;  // 64 hexadecimal digits: of its headers and sizes, not of all its bytes
  ModelCard card;
};

// A loaded model, kept loaded while the lease lives.
struct ModelLease {
  std::shared_ptr<Generator> generator;
  double load_seconds = 0;  // what this request waited for loading; 0 when it was loaded
  std::shared_ptr<void> kept;
};

struct LoadedModel {
  const ServedModel* model = nullptr;
  std::optional<std::chrono::system_clock::time_point> expires;  // none: never
  uint64_t memory = 0;                                           // bytes, by its ledger
  uint32_t context = 0;
  uint64_t gpu_memory = 0;  // of these, in the memory of a GPU
};

// Thread-safe. One model is loaded at a time: another one's request waits until the answers of the first have ended,
// because both together would not fit the budget.
class ModelHost {
 public:
  virtual ~ModelHost() = default;

  virtual const std::vector<ServedModel>& models() const = 0;

  // The model that a client means by `name`: "name" or "name:tag", whatever the case; ":latest" is implied, ":local"
  // and a leading "library/" are dropped, the name of the file with .gguf is accepted. Null when there is none.
  virtual const ServedModel* find(const std::string& name) const = 0;

  // Calls `ready` with the loaded model, on the calling thread when it is loaded and else on the host's, or with the
  // error that loading gave. `keep` holds from the end of the lease; none: the server's default.
  virtual void lease(const ServedModel& model, std::optional<KeepAlive> keep,
                     std::function<void(Result<ModelLease>)> ready) = 0;

  // Unloads the model as soon as its answers have ended. `done` is called when it is gone; at once when it was not
  // loaded.
  virtual void unload(const ServedModel& model, std::function<void()> done) = 0;

  virtual std::vector<LoadedModel> loaded() const = 0;

  // The loaded model, without keeping it alive; null when none is.
  virtual std::shared_ptr<Generator> current() const = 0;
};

}  // namespace hypura
