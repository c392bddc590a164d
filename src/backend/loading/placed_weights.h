// Where ggml puts a model's weights that stay with the processors, so that we fill them in the loader's place.
//
// llama.cpp's loader gives ggml one tensor after the other, which lays it out on one thread where the processor has a
// layout of its own for it: repacked, or in AMX's tiles. A model of 2 GiB took 5.3 s by that and 1.4 s without
// (docs/lab/experiments.md, "Loading on all cores"). Here the loader chooses and allocates as ever, and then finds
// nothing to read and nothing to lay out. The bits are those that ggml would have made: it makes them, some rows at a
// time.
//
// What is relied on upstream (llama.cpp v0.4.0, v0.5.0): buffers are allocated through their type's interface, by the
// thread that loads; a tensor is announced by its buffer's init_tensor; the loader reads into a buffer that says it is
// host memory, and does not set its tensors; rows of a layout are laid out in groups, independent of each other. The
// last is tried for each layout, and one that is otherwise is left to the loader. (placed_weights_test.cpp)
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml.h"

namespace hypura {

// Not thread-safe: but lay_out(), from any thread, for different rows.
class PlacedWeights {
 public:
  PlacedWeights() = default;
  PlacedWeights(const PlacedWeights&) = delete;
  PlacedWeights& operator=(const PlacedWeights&) = delete;

  // While one lives, what its thread allocates in the processors' memory is taken note of, and says that it is host
  // memory. One at a time on a thread. The CPU backend must be loaded.
  class Watch {
   public:
    explicit Watch(PlacedWeights& weights);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
  };

  // Makes the buffers ggml's own again. Call when loading went well; otherwise they are gone.
  void restore();

  // In the order of their placing; some may have the same name. Valid as long as the model.
  const std::vector<ggml_tensor*>& tensors() const { return tensors_; }

 private:
  struct Buffer {
    ggml_backend_buffer_t buffer = nullptr;
    ggml_backend_buffer_type_t type = nullptr;  // its own
    ggml_backend_buffer_type while_loading = {};
    decltype(ggml_backend_buffer_i::init_tensor) init_tensor = nullptr;
  };

  static ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t bytes);
  static ggml_status place(ggml_backend_buffer_t buffer, ggml_tensor* tensor);
  void take_note(ggml_backend_buffer_t buffer);

  std::list<Buffer> buffers_;
  std::vector<ggml_tensor*> tensors_;
};

// Bytes in the file that `tensor` must be given at a time, but for its last ones: some rows where it gets a layout of
// the processor's own.
uint64_t group_bytes(const ggml_tensor& tensor);

// Lays out `length` bytes of the file's, which begin at byte `at` of the tensor, a multiple of group_bytes().
void lay_out(ggml_tensor& tensor, uint64_t at, const std::byte* from, uint64_t length);

}  // namespace hypura
