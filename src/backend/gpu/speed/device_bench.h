// Graphs that a device computes again and again, to see how long they take: what the measurements of a GPU
// (device_speed.h) are made of. Over any ggml device, also the CPU's. Throughout, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backend/gpu/speed/repeated_runs.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

// A device's stream, with memory there for weights, and memory of the host that it copies from.
class DeviceBench {
 public:
  struct Sizes {
    uint64_t weights = 0;             // bytes
    uint64_t host = 0;                // bytes
    uint32_t threads = 1;             // these two where the device is the CPU
    ggml_threadpool* pool = nullptr;  // of `threads`; outlives the object
    RunClock clock = {};              // none: the system's
  };

  // `device` must outlive the object. Fails with kBudget when the memory cannot be had there, with kInternal when the
  // device cannot be started.
  static Result<std::unique_ptr<DeviceBench>> create(ggml_backend_dev_t device, const Sizes& sizes);

  DeviceBench(const DeviceBench&) = delete;
  DeviceBench& operator=(const DeviceBench&) = delete;

  ggml_backend_dev_t device() const { return device_; }
  const char* name() const { return ggml_backend_dev_name(device_); }
  ggml_backend_t stream() const { return stream_.get(); }
  const RunClock& clock() const { return clock_; }

  // All of the device's memory for weights, as one i8 tensor, and the host's.
  ggml_tensor* weights() const { return weights_; }
  uint64_t weight_bytes() const { return ggml_nbytes(weights_); }
  std::span<std::byte> host() const { return host_; }

  // Fills weights() with copies of `pattern`, host() too.
  void fill(std::span<const std::byte> pattern);

 private:
  DeviceBench(ggml_backend_dev_t device, RunClock clock) : device_(device), clock_(std::move(clock)) {}
  Status allocate(const Sizes& sizes);

  ggml_backend_dev_t device_;
  RunClock clock_;
  ggml_backend_ptr stream_;
  ggml_context_ptr context_;
  ggml_backend_buffer_ptr buffer_;
  ggml_backend_buffer_ptr host_buffer_;
  ggml_tensor* weights_ = nullptr;
  std::span<std::byte> host_;
};

// One graph: first its tensors, by ggml's functions over context() and those here, then finish(), then time().
class BenchGraph {
 public:
  // `bench` must outlive it.
  BenchGraph(DeviceBench& bench, int nodes);

  ggml_context* context() const { return context_.get(); }

  // Weights that lie at `offset` of the bench's; tensors may lie over each other.
  ggml_tensor* weights(ggml_type type, uint64_t offset, int64_t ne0, int64_t ne1, int64_t ne2 = 1);

  // Inputs: all of one value; as given.
  ggml_tensor* constant(ggml_type type, float value, int64_t ne0, int64_t ne1 = 1, int64_t ne2 = 1);
  ggml_tensor* numbers(std::vector<int32_t> values, int64_t ne0, int64_t ne1);

  // The graph that ends in `last`, with memory. Fails with kBudget when that cannot be had.
  Status finish(ggml_tensor* last);

  // After finish(): whether the device has kernels for all of it. Without them it must not be computed.
  bool supported() const;

  ggml_cgraph* graph() const { return graph_; }

  // Seconds of computing it, as seconds_of_run(). Fails with kInternal when the device does not compute; what numbers
  // it makes is no matter.
  Result<double> time(double seconds);

  // The same of `run`, which computes the graph in another way.
  Result<double> time(double seconds, const std::function<bool()>& run);

 private:
  struct Input {
    ggml_tensor* tensor = nullptr;
    std::vector<std::byte> data;
  };
  ggml_tensor* input(ggml_tensor* tensor, std::vector<std::byte> data);
  bool is_computed() const;

  DeviceBench& bench_;
  ggml_context_ptr context_;
  ggml_gallocr_ptr memory_;
  ggml_cgraph* graph_ = nullptr;
  ggml_tensor* last_ = nullptr;
  std::vector<Input> inputs_;
};

}  // namespace hypura
