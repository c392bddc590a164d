// The weights that a worker computes with, by their names in the model: the experts' matrices, which are streamed, and
// their biases, which stay; and where it computes whole layers all that these have besides: matrices, which are
// streamed, and what is small, which stays.
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

enum class WeightUse {
  kMatrix,  // of experts, or of a feed-forward part
  kBias,    // of experts
  kLayers,  // of whole layers alone
};

// `layer` counts as in layers(), of what is not of whole layers alone.
struct NamedWeight {
  ggml_tensor* tensor = nullptr;
  uint32_t layer = 0;
  WeightUse use = WeightUse::kMatrix;
};

class WorkerWeights {
 public:
  // Makes tensors of `weights`, which streams nothing but the worker_layers() of its layout, and with `whole_layers`
  // other matrices of layers; must outlive the object, and has not finished loading: reads the biases, with
  // `whole_layers` all else of the layers too, and finishes it. Fails with kBudget, with kIo.
  static Result<std::unique_ptr<WorkerWeights>> create(StreamedWeights& weights, bool whole_layers);

  // Bytes that the biases take, with `whole_layers` all else of the layers.
  static uint64_t resident_bytes(const Model& model, const StreamLayout& layout, bool whole_layers);

  // nullptr: the model has no such weight that is computed with here.
  const NamedWeight* find(std::string_view name) const;

  const std::vector<WorkerLayer>& layers() const { return layers_; }

 private:
  explicit WorkerWeights(const StreamLayout& layout) : layers_(worker_layers(layout)) {}

  struct Wanted {
    const TensorInfo* info = nullptr;
    uint32_t layer = 0;
    WeightUse use = WeightUse::kMatrix;
  };
  static std::vector<Wanted> biases(const Model& model, const std::vector<WorkerLayer>& layers);
  Status place(const std::vector<Wanted>& wanted, ggml_backend_buffer_type_t type);

  const std::vector<WorkerLayer> layers_;
  ggml_context_ptr context_;
  std::vector<ggml_backend_buffer_ptr> buffers_;
  std::map<std::string, NamedWeight, std::less<>> by_name_;
};

}  // namespace hypura
