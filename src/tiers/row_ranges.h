// Ranges of rows of a dense matrix. Each element of a product comes of one row of the matrix, so that a large matrix
// can move and be multiplied by one range after another, with the same bits as at once.
//
// ggml chooses its kernels by, among other things, which power of two the number of rows is a multiple of: 4 and 8 on
// x86 (llamafile/sgemm.cpp, iqp.cpp, repack.cpp), 2 on ARM. Kernels round differently, so all ranges of a matrix are
// multiples of the same power of two as the matrix, up to kRowGroup, and begin at a multiple of it.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "model/model.h"

namespace hypura {

// Rows of a matrix are interleaved in groups of 4, 8 or 16 where it is repacked: what is cut is cut at multiples of
// this.
inline constexpr int64_t kRowGroup = 16;

// For matrices that are not cut.
inline constexpr uint64_t kWholeMatrix = std::numeric_limits<uint64_t>::max();

struct RowRange {
  int64_t first = 0;
  int64_t rows = 0;
};

// Cuts `rows` rows of `row_bytes` into as few ranges of about the same size as `bytes` allow: none is larger, unless it
// has the fewest rows that a range may have. One range where that is enough.
std::vector<RowRange> cut_rows(int64_t rows, uint64_t row_bytes, uint64_t bytes);

// The same of a tensor. Several matrices in one, those of heads, stay together: a range has rows of each.
std::vector<RowRange> cut_rows(const TensorInfo& matrix, uint64_t bytes);

}  // namespace hypura
