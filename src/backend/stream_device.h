// The ggml device that computes with streamed weights: the seam to ggml's backend interface.
//
// What is relied on upstream (llama.cpp v0.4.0 and v0.5.0), held by the engine's exactness tests:
// - llama_context makes a backend of every ACCEL device, in the order GPU, ACCEL, CPU, one for each context;
// - the scheduler gives an operation to the first backend that supports its weights' buffer type and the operation, and
//   moves others to us only when supports_op says so;
// - its splits hold our nodes in graph order, share use counts with the whole graph, and get no copies, since we also
//   accept host buffers;
// - ggml_backend_tensor_alloc calls init_tensor after it has set the tensor's address.
#pragma once

#include "ggml-backend-impl.h"
#include "hypura/result.h"

namespace hypura {

class StreamedWeights;

// Registers the device with ggml, once in a process; later calls do nothing. Models that are not streamed see an
// accelerator that supports none of their operations. Thread-safe.
void register_stream_device();

// Whether it is ours.
bool is_stream_device(ggml_backend_dev_t dev);

// Fills in our buffer types for `weights`, which must outlive every buffer made from them.
// `device` computes what is in the first; nullptr: the device here.
ggml_backend_buffer_type make_stream_buffer_type(StreamedWeights* weights, ggml_backend_dev_t device = nullptr);
ggml_backend_buffer_type make_resident_buffer_type(StreamedWeights* weights);

// The weights that `tensor` belongs to when it lies in a stream buffer, else nullptr.
StreamedWeights* stream_owner(const ggml_tensor* tensor);

// Whether `op` works on each row by itself, so that it can be computed for some rows only.
bool is_row_op(const ggml_tensor* op);

// Whether `op` multiplies by a streamed matrix.
bool is_streamed_matmul(const ggml_tensor* op);

// Whether `op` looks up rows of a streamed table.
bool is_streamed_lookup(const ggml_tensor* op);

}  // namespace hypura
