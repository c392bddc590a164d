// Products of streamed matrices with many rows, in the layout that ggml's CPU kernels are fastest with.
//
// Of a resident weight llama.cpp makes that layout ("repacked": the blocks of several rows of the matrix interleaved)
// when it loads it; a streamed weight comes as it is on disk. For enough rows, repacking takes less time
// than it saves: 64 rows with a Q4_0 matrix of 2048 x 1024 took 2.6 + 0.4 ms on two cores, 5.3 as it is on disk
// (docs/lab/experiments.md, "Repacking for prompts"). The products are those of a resident model that llama.cpp
// repacked, not those of one that it did not: sums are made in another order.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/inner_graph.h"
#include "backend/stream_layout.h"
#include "ggml-backend.h"
#include "ggml.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class RepackBuffer {
 public:
  // Bytes that a buffer for the largest matrix of `layout`, or range of one, takes; 0 when ggml has a faster layout for
  // none of them, or only for some that no pass of `max_rows` tokens has rows enough for.
  static uint64_t bytes(const StreamLayout& layout, uint32_t max_rows);

  // Rows from which on a product with such a matrix is faster repacked; the largest number when it never is. Measured
  // once, on a processor with AVX-512.
  static int64_t least_rows(int type, int64_t ne0, int64_t ne1);

  // The same of a matrix of `layout`, which may say of its type that repacking never pays on this processor.
  static int64_t least_rows(const StreamLayout& layout, int type, int64_t ne0, int64_t ne1);

  // The types of the layout's experts of which products are repacked, with rows enough: bit t of ggml's type t.
  static uint64_t expert_types(const StreamLayout& layout);

  // Whether products with `item` may ever be repacked: not those with the output matrix, which few rows want, nor with
  // one that is read repacked.
  static bool repacks(const DenseItem& item);

  // Allocates a buffer of `bytes` for matrices of `layout`, which must outlive it; nullptr when ggml cannot.
  static std::unique_ptr<RepackBuffer> create(const StreamLayout& layout, uint64_t bytes);

  ~RepackBuffer();
  RepackBuffer(const RepackBuffer&) = delete;
  RepackBuffer& operator=(const RepackBuffer&) = delete;

  // Whether `weight`, one matrix, is faster repacked for products with `rows` rows. It depends on these, on what
  // kernels ggml has for this machine and on what its profile says of them, and on nothing else, so that every run
  // computes the same.
  bool pays(const ggml_tensor& weight, int64_t rows) const;

  // Adds to `inner` the repacking of `weight` into the buffer, and its product with `input`, contiguous f32 rows, into
  // `product`. pays() must have said so. It holds one matrix: what is added later is computed later, too.
  void multiply(InnerGraph& inner, const ggml_tensor& weight, ggml_tensor* input, ggml_tensor* product);

 private:
  RepackBuffer(const StreamLayout& layout, ggml_backend_buffer_t buffer);

  const StreamLayout& layout_;
  ggml_backend_buffer_t buffer_;
};

}  // namespace hypura
