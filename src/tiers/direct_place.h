// Places in RAM that direct reads end in.
//
// A direct read moves whole blocks, and its destination is as far into a block as its bytes are on disk. A place is one
// block larger than what it is for, so that bytes can lie as far into its first block as they do on disk: they are read
// to where kernels use them, and nothing is copied.
#pragma once

#include <cstdint>

#include "model/model.h"
#include "storage/reader.h"
#include "support/units.h"

namespace hypura {

// Bytes of a place, which begins at a multiple of kDirectAlignment, for `bytes` bytes of a file, wherever they are.
constexpr uint64_t place_capacity(uint64_t bytes) {
  return round_up(bytes, kDirectAlignment) + kDirectAlignment;
}

// How far into its place a direct read puts an extent.
constexpr uint64_t data_offset(const Extent& extent) {
  return extent.offset % kDirectAlignment;
}

// Reads an extent into the place at `place`.
inline ReadRequest read_into(std::byte* place, const Extent& extent) {
  return {extent.file, extent.offset, extent.length, place + data_offset(extent)};
}

}  // namespace hypura
