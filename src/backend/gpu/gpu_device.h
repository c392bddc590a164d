// A GPU as llama.cpp sees it while experts of its model come and go: a ggml device of ours over one of ggml's own,
// which computes everything (docs/design/gpu.md).
//
// It answers nearly all that it is asked as the inner device does, so that KV cache, activations and resident weights
// lie in the inner device's own buffers. Two things are ours: the buffer type of streamed experts, which has addresses
// and no memory, and graphs, which StreamedWeights computes. It is not in ggml's registry: each open model has one of
// its own, by llama_model_params.devices.
//
// What is relied on upstream (llama.cpp v0.4.0 and v0.5.0), held by the tests here and by the engine's exactness tests:
// - a device in llama_model_params.devices need not be registered, but has a registry entry, which is asked for
//   ggml_backend_set_n_threads;
// - llama_context makes a backend of it for each context: all of them share one inner backend, behind a lock, or two
//   streams would meet in the slots;
// - the scheduler gives us a product with streamed experts because we support the buffer type of its weights, and
//   what lies between because the GPU comes first;
// - a backend's operations on tensors are those of the buffers' device, which is the inner one.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "ggml-backend-impl.h"
#include "ggml-cpp.h"
#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

class StreamedWeights;

// Neither copied nor moved: ggml points to it. Outlives every backend and buffer made from it.
class GpuDevice {
 public:
  // Of the devices that compute a model together.
  struct Place {
    std::mutex& calls;  // held by all calls that go to their inner backends
    size_t number = 0;  // of this one, for StreamedWeights::compute()
  };

  // Over `inner`, computing by `weights`, which must outlive the object. Fails with kInternal when ggml can make no
  // backend of it.
  static Result<std::unique_ptr<GpuDevice>> create(ggml_backend_dev_t inner, StreamedWeights& weights,
                                                   const Place& place);

  GpuDevice(const GpuDevice&) = delete;
  GpuDevice& operator=(const GpuDevice&) = delete;

  ggml_backend_dev_t device() { return &device_; }
  ggml_backend_dev_t inner() const { return inner_; }

  // It computes in the machine's memory: experts are read to where it computes with them. What it is given and gives is
  // then copied by the processors, after the stream was synchronised, and copy_stream() is stream().
  bool computes_in_ram() const { return in_ram_; }

  // The inner backend that computes. Only inside StreamedWeights::compute(), or before there is a context.
  ggml_backend_t stream() const { return stream_.get(); }
  // One that copies meanwhile; the same as stream() where the device cannot do both at once.
  ggml_backend_t copy_stream() const { return copies_ != nullptr ? copies_.get() : stream_.get(); }

  // Where the inner device is the CPU: computes with that pool. It must outlive the last graph.
  void set_threadpool(ggml_threadpool* pool);

 private:
  GpuDevice(ggml_backend_dev_t inner, StreamedWeights& weights, const Place& place);
  friend struct GpuInterface;

  ggml_backend_dev_t inner_;
  bool in_ram_;
  StreamedWeights& weights_;
  std::string name_;
  ggml_backend_device device_{};
  ggml_backend_reg registry_{};
  ggml_backend_ptr stream_;
  ggml_backend_ptr copies_;
  std::mutex& calls_;
  size_t number_;
};

}  // namespace hypura
