// Tensors of ours in a device's memory, and memory of the host that the device copies from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ggml-cpp.h"
#include "hypura/result.h"
#include "tiers/slices.h"

namespace hypura {

// A context for the descriptions of that many tensors, without memory for their data.
ggml_context_ptr describe_tensors(size_t count);

// The matrices of a layer's experts, `count` experts of each: [ne0, ne1, count] in the types of the file.
std::vector<ggml_tensor*> describe_matrices(ggml_context* context, const ExpertLayer& layer, uint32_t count,
                                            const std::string& name);

// Bytes that `tensors` take in one buffer of that type.
uint64_t bytes_in(ggml_backend_buffer_type_t type, std::span<ggml_tensor* const> tensors);

// A buffer for weights, zeroed: kernels read a little past what was written, and what is not a number there would stay
// one. `what` is named when it fails, with kBudget.
Result<ggml_backend_buffer_ptr> allocate_on(ggml_backend_buffer_type_t type, uint64_t bytes, const std::string& what);

// Gives `tensors` their places in `buffer`, one after another from its beginning on. Fails with kInternal.
Status place_in(ggml_backend_buffer_t buffer, std::span<ggml_tensor* const> tensors);

// The buffer that a tensor or view lies in. With the address it tells where: some devices' buffers all begin at one.
ggml_backend_buffer_t buffer_of(const ggml_tensor& tensor);

// Begins to copy expert number `from_place` of one tensor of experts to `to_place` of another, alike and on the device
// of `stream`, in its order.
void copy_expert(ggml_backend_t stream, const ggml_tensor& from, uint32_t from_place, ggml_tensor& to,
                 uint32_t to_place);

// Host memory that `device` copies from and to without staging it, where it has such; else any. Fails with kBudget.
Result<ggml_backend_buffer_ptr> allocate_pinned(ggml_backend_dev_t device, uint64_t bytes);

}  // namespace hypura
