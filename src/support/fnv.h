// FNV-1a, 64 bits (Fowler, Noll, Vo): a fast hash that tells damaged or different files apart. No defence against
// someone who makes two files meet on purpose.
#pragma once

#include <cstdint>
#include <string_view>

namespace hypura {

inline constexpr uint64_t kFnvStart = 0xcbf29ce484222325;

// The hash of what `state` is the hash of, followed by `bytes`.
constexpr uint64_t fnv1a(std::string_view bytes, uint64_t state = kFnvStart) {
  for (const char byte : bytes) {
    state = (state ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  return state;
}

}  // namespace hypura
