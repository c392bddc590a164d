// Whole layers on a worker: a ggml device of ours that computes over the network (docs/design/workers.md, "Whole
// layers").
//
// llama.cpp takes it for a GPU: it gives it the last layers (llama_model_params.devices), their keys and values, and
// what they compute. Weights have addresses here and no memory, and go by name; all other buffers lie in the worker's
// memory, at the worker's addresses. What is set is collected and goes out with the graph, and with it comes the
// graph's last tensor: one visit a pass. It is in no registry: each open model has one of its own.
//
// A graph that is not computed gives GGML_STATUS_FAILED. Bytes that cannot be got throw, since ggml has no other way to
// say so: llama.cpp's functions for states catch that, and llama/llama_guard.h does where a pass reads. From then on
// the worker is lost for as long as the model is open: what it had of keys and values is gone.
//
// What is relied on upstream (llama.cpp v0.5.0), held by the engine's tests: a backend without asynchronous copies gets
// its inputs by ggml_backend_tensor_set() before its graph; the graph of a split keeps its uid as long as llama.cpp
// uses it again; weights are allocated while a model is made, and all else afterwards.
//
// Belongs to one thread at a time; stats(), lost() and has_ended() are any thread's.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/worker_stats.h"
#include "ggml-backend-impl.h"
#include "hypura/result.h"
#include "remote/layers_session.h"

namespace hypura {

// Neither copied nor moved: ggml points to it. Outlives every backend and buffer made from it.
class RemoteLayers {
 public:
  // Connects. `patience`: that the worker has at least for every answer; none: ten seconds, and five minutes for a
  // graph before it is known how long one takes. Fails as WorkerSession::open.
  static Result<std::unique_ptr<RemoteLayers>> connect(const WorkerAddress& address, const WorkerHello& hello,
                                                       std::optional<std::chrono::milliseconds> patience);

  ~RemoteLayers();
  RemoteLayers(const RemoteLayers&) = delete;
  RemoteLayers& operator=(const RemoteLayers&) = delete;

  const std::string& name() const { return stats_.name; }  // its address
  uint64_t fingerprint() const { return fingerprint_; }    // of the model, as in the hello
  const WorkerVerdict& verdict() const { return session_.verdict(); }
  const WorkerWay& way() const { return session_.way(); }
  ggml_backend_dev_t device() { return &device_; }

  // While one exists, buffers of theirs are of weights: without memory there.
  class Loading {
   public:
    explicit Loading(std::vector<RemoteLayers*> layers) : layers_(std::move(layers)) { set(true); }
    ~Loading() { set(false); }
    Loading(const Loading&) = delete;
    Loading& operator=(const Loading&) = delete;

   private:
    void set(bool loading) const {
      for (RemoteLayers* it : layers_) {
        it->loading_ = loading;
      }
    }
    std::vector<RemoteLayers*> layers_;
  };

  // Says that it will be asked for these layers: `count` from number `first` on. Fails when the worker is lost.
  Status keep(uint32_t first, uint32_t count);

  // Why it computes no more; none: it does.
  std::optional<Error> lost() const;
  // Whether it is lost, also where nothing was asked since; not one that has no layers.
  bool has_ended() const { return has_layers_ && (lost().has_value() || session_.has_ended()); }
  // Whether that is because it refuses the model's layers, so that it would again.
  bool refuses() const { return refuses_; }

  const WorkerStats& stats() const { return stats_; }

 private:
  RemoteLayers(LayersSession session, const std::string& name, uint64_t fingerprint,
               std::optional<std::chrono::milliseconds> patience);
  friend struct RemoteLayersInterface;

  using Clock = LayersSession::Clock;

  // A graph that the worker has.
  struct Kept {
    uint64_t uid = 0;
    RemoteGraph graph;
    RemoteBytes output;
    size_t output_bytes = 0;
    uint64_t used = 0;
  };

  ggml_backend_buffer_t allocate(size_t size);
  ggml_status compute(const ggml_cgraph& graph);
  Status compute_or_fail(const ggml_cgraph& graph);
  Result<Kept*> kept_for(const ggml_cgraph& graph, bool& known);
  Clock::time_point deadline(int64_t rows) const;
  void get(const ggml_tensor& tensor, void* data, size_t offset, size_t size);
  void count_bytes();
  void lose(const std::string& why, bool refuses = false);

  LayersSession session_;
  uint64_t fingerprint_;
  std::optional<std::chrono::milliseconds> patience_;
  std::string device_name_;
  ggml_backend_device device_{};
  ggml_backend_reg registry_{};
  ggml_backend_buffer_type type_{};
  bool loading_ = false;
  std::atomic<bool> has_layers_{false};
  std::array<Kept, 4> kept_;
  uint64_t graphs_ = 0;         // that were computed
  double row_seconds_ = 0;      // the longest that a row of a graph took
  std::vector<std::byte> got_;  // of the last graph's last tensor
  RemoteBytes got_from_;
  uint64_t sent_ = 0;  // of what is counted already
  uint64_t received_ = 0;
  WorkerStats stats_;
  mutable std::mutex mutex_;  // guards what follows
  std::optional<Error> lost_;
  std::atomic<bool> refuses_{false};
};

}  // namespace hypura
