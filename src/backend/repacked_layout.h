// Repacked layouts of matrices, which ggml's CPU kernels are fastest with: the blocks of several rows interleaved.
// llama.cpp makes them of resident weights when it loads them. They take as many bytes as before.
// Throughout: the CPU backend must be loaded; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "backend/loading/own_layouts.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "tiers/row_ranges.h"

namespace hypura {

// Whether ggml has one for such a matrix on this processor.
bool has_repacked_layout(int type, int64_t ne0, int64_t ne1);

// A buffer that ggml takes for one of such matrices; nullptr when it cannot be had.
ggml_backend_buffer_t make_repacked_buffer(uint64_t bytes);

// Has ggml multiply by `weight`, whose data is in the repacked layout, with the kernels for it. The type and shape must
// have one; `weight` may be several matrices at any distance from each other.
void use_repacked_kernels(ggml_tensor& weight);

// Repacks a matrix of a type and shape that have such a layout, or some of its rows in multiples of kRowGroup
// (tiers/row_ranges.h).
void repack_rows(int type, int64_t ne0, int64_t rows, const std::byte* from, std::byte* to);

// A node that has all threads of its graph repack `from`, a matrix as above, into `to`. It has no result.
ggml_tensor repack_node(ggml_tensor* from, ggml_tensor* to);

// Names the layout that matrices of `type` get here: other processors and versions of ggml may have another. Empty when
// they get none.
std::string repacked_layout_name(int type);

}  // namespace hypura
