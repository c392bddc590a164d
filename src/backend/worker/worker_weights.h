// The weights that a worker computes with, by their names in the model: the experts' matrices, which are streamed, and
// their biases, which stay.
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
#include "ggml-cpp.h"

namespace hypura {

// A matrix of a layer's experts, or their bias. `layer` counts as in the layout.
struct NamedWeight {
  ggml_tensor* tensor = nullptr;
  uint32_t layer = 0;
  bool bias = false;
};

class WorkerWeights {
 public:
  // Makes tensors of `weights`, which streams experts and nothing else, must outlive the object, and has not finished
  // loading: reads the biases, and finishes it. Fails with kBudget, with kIo.
  static Result<std::unique_ptr<WorkerWeights>> create(StreamedWeights& weights);

  // Bytes that the biases take.
  static uint64_t bias_bytes(const Model& model, const StreamLayout& layout);

  // nullptr: the model has no such weight of an expert.
  const NamedWeight* find(std::string_view name) const;

  const StreamLayout& layout() const { return layout_; }

 private:
  explicit WorkerWeights(const StreamLayout& layout) : layout_(layout) {}

  struct Wanted {
    const TensorInfo* info = nullptr;
    uint32_t layer = 0;
  };
  Status place(const std::vector<Wanted>& wanted, bool bias, ggml_backend_buffer_type_t type);

  const StreamLayout& layout_;
  ggml_context_ptr context_;
  std::vector<ggml_backend_buffer_ptr> buffers_;
  std::map<std::string, NamedWeight, std::less<>> by_name_;
};

}  // namespace hypura
