// The operations that graphs of whole layers may have (remote/protocol.h), each made again by ggml's own function.
//
// What those functions and the kernels take for granted, by an assertion, by a division or by reading on, is checked
// first: an assertion of a kernel ends the process, and some kernels write where they were not asked to if it does not
// hold. Found by reading ggml.c and ggml-cpu of llama.cpp v0.5.0.
#pragma once

#include <array>
#include <cstdint>

#include "ggml.h"
#include "hypura/result.h"

namespace hypura {

using LayersSources = std::array<ggml_tensor*, GGML_MAX_SRC>;

// Makes in `ctx` what `asked`, a peer's, describes by its op, which is one of ggml's, its op_params, its ne and nb, and
// whether it has a view_src, with `sources` of ours in the place of its own. The source that is `asked` itself (of a
// cast) is nullptr. Sources have no more than 2^30 in a dimension and 2^40 elements, as `asked` has. What is made may
// differ from what was asked for, which its caller compares. Fails with kUsage and what `asked` is or does: "is an
// operation that ...".
Result<ggml_tensor*> make_layers_node(ggml_context* ctx, const ggml_tensor& asked, const LayersSources& sources);

// The source of which rows are chosen by the numbers in another: of GET_ROWS, SET_ROWS and ADD_ID; of MUL_MAT_ID
// matrices.
struct ChosenRows {
  int indices = -1;   // the source that has the numbers; -1: `op` chooses nothing
  int rows = -1;      // the one of which each is one,
  int dimension = 1;  // of its ne of this number
};
ChosenRows chosen_rows(ggml_op op);

// Whether it shows what its source has and computes nothing.
bool only_shows(ggml_op op);

// Bytes that ggml's processor backend takes besides to compute `node` with so many threads, at most.
uint64_t work_bytes(const ggml_tensor& node, uint32_t threads);

}  // namespace hypura
