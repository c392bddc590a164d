// Layouts of matrices that ggml's CPU backend has beside that of files: repacked ones (repacked_layout.h), and others
// that some processors have (AMX's tiles). llama.cpp's loader puts weights into them. Throughout: the CPU backend must
// be loaded; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"

namespace hypura {

// Their buffer types, in the order in which the loader tries them.
std::vector<ggml_backend_buffer_type_t> own_layouts();

// Whether the CPU backend multiplies by such a matrix in a buffer of `type`, as the loader asks it.
bool multiplies(ggml_backend_buffer_type_t type, ggml_tensor matrix);

// The one that the loader puts such a matrix into; nullptr where it stays as in the file.
ggml_backend_buffer_type_t own_layout_of(int type, int64_t ne0, int64_t ne1);

// Whether it is that of repacked matrices.
bool is_repacked_layout(ggml_backend_buffer_type_t type);

// Bytes of such a matrix in the layout that the loader puts it into. Empty where it stays as in the file.
std::optional<uint64_t> own_layout_bytes(int type, int64_t ne0, int64_t ne1);

// `rows` rows, some whole groups (kRowGroup), laid out: that many bytes of own_layout_of() such a matrix. Empty when
// ggml cannot.
std::vector<std::byte> laid_out_rows(ggml_backend_buffer_type_t layout, int type, int64_t ne0, int64_t rows,
                                     const std::byte* from);

// Has ggml multiply by `weight`, whose data are in that layout, with the kernels for it.
void use_kernels_of(ggml_backend_buffer_type_t layout, ggml_tensor& weight);

// A matrix without data.
ggml_tensor matrix_of(int type, int64_t ne0, int64_t ne1);

}  // namespace hypura
