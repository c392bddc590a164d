// The weights that a worker computes with, by their names in the model: the experts' matrices, which are streamed, and
// their biases, which stay; or those of feed-forward parts.
//
// Immutable once it is made.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/streamed_weights.h"
#include "backend/worker_layers.h"
#include "ggml-cpp.h"

namespace hypura {

// A matrix of a layer, or its experts' bias. `layer` counts as in layers().
struct NamedWeight {
  ggml_tensor* tensor = nullptr;
  uint32_t layer = 0;
  bool bias = false;
};

class WorkerWeights {
 public:
  // Makes tensors of `weights`, which streams nothing but the worker_layers() of its layout, must outlive the object,
  // and has not finished loading: reads the biases, and finishes it. Fails with kBudget, with kIo.
  static Result<std::unique_ptr<WorkerWeights>> create(StreamedWeights& weights);

  // Bytes that the biases take.
  static uint64_t bias_bytes(const Model& model, const StreamLayout& layout);

  // nullptr: the model has no such weight that is computed with here.
  const NamedWeight* find(std::string_view name) const;

  const std::vector<WorkerLayer>& layers() const { return layers_; }

 private:
  explicit WorkerWeights(const StreamLayout& layout) : layers_(worker_layers(layout)) {}

  struct Wanted {
    const TensorInfo* info = nullptr;
    uint32_t layer = 0;
  };
  Status place(const std::vector<Wanted>& wanted, bool bias, ggml_backend_buffer_type_t type);

  const std::vector<WorkerLayer> layers_;
  ggml_context_ptr context_;
  std::vector<ggml_backend_buffer_ptr> buffers_;
  std::map<std::string, NamedWeight, std::less<>> by_name_;
};

}  // namespace hypura
