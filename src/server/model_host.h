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
#include "store/catalogue/catalogue.h"

namespace hypura {

using Nanoseconds = std::chrono::nanoseconds;

// How long a model stays after its last answer; negative: for ever.
struct KeepAlive {
  Nanoseconds time{std::chrono::minutes(5)};
};

// A model as clients see it, loaded or not. Never changes: another one takes its place.
struct ServedModel {
  std::string name;    // "hypura-stories-moe:latest"
  std::string digest;  // 64 hexadecimal digits: of its headers and sizes, not of all its bytes
  ModelCard card;
  std::filesystem::path file;
  ModelPreset preset;   // what its answers begin with
  std::string license;  // empty: not known
  std::string from;     // of a created one: what it was made from
  // The card's metadata have empty arrays in the place of those with more than kLongestListed elements: the
  // vocabularies of a hundred models that are offered, and never loaded, would take hundreds of MB.
  bool shortened = false;
};
inline constexpr size_t kLongestListed = 5;
using ModelPtr = std::shared_ptr<const ServedModel>;

// A model that a host is to offer.
struct OfferedModel {
  std::string name;  // with its tag; empty: by the file
  std::filesystem::path file;
  ModelPreset preset = {};
  std::string license = {};
  std::string from = {};
};

// A loaded model, kept loaded while the lease lives.
struct ModelLease {
  std::shared_ptr<Generator> generator;
  double load_seconds = 0;  // what this request waited for loading; 0 when it was loaded
  std::shared_ptr<void> kept;
};

struct LoadedModel {
  ModelPtr model;
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

  // Those that are offered now.
  virtual std::vector<ModelPtr> models() const = 0;

  // The model that a client means by `name`: "name" or "name:tag", whatever the case; ":latest" is implied, ":local"
  // and a leading "library/" are dropped, the name of the file with .gguf is accepted, and so are other ways to write
  // the same (store/names/model_name.h), without a quantization too. Null when there is none.
  virtual ModelPtr find(const std::string& name) const = 0;

  // Calls `ready` with the loaded model, on the calling thread when it is loaded and else on the host's, or with the
  // error that loading gave. `keep` holds from the end of the lease; none: the server's default.
  virtual void lease(const ModelPtr& model, std::optional<KeepAlive> keep,
                     std::function<void(Result<ModelLease>)> ready) = 0;

  // Unloads the model as soon as its answers have ended. `done` is called when it is gone; at once when it was not
  // loaded.
  virtual void unload(const ModelPtr& model, std::function<void()> done) = 0;

  // Offers these besides those it was made with, in place of those it was given here before; what is loaded stays.
  // Reads the headers of what is new, on the calling thread; what cannot be read, or has the name of another, is left
  // out. One thread at a time.
  virtual void offer(const std::vector<OfferedModel>& models) = 0;

  // What is loaded from now on is opened with at most so many bytes of memory; none: as the host was told at first.
  virtual void limit_memory(std::optional<uint64_t> bytes) = 0;

  virtual std::vector<LoadedModel> loaded() const = 0;

  // The loaded model, without keeping it alive; null when none is.
  virtual std::shared_ptr<Generator> current() const = 0;
};

}  // namespace hypura
