// A small fast random generator whose stream depends only on its seed, so that files can be reproduced.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace hypura {

// The finaliser of splitmix64: spreads nearby seeds over the whole range.
constexpr uint64_t mix_bits(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

// FNV-1a: one stream per tensor name.
constexpr uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  }
  return hash;
}

// splitmix64. Not thread-safe; make one per stream.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(mix_bits(seed)) {}

  uint64_t next() { return mix_bits(state_ += 0x9e3779b97f4a7c15ULL); }

  // Uniform in [0, bound); `bound` > 0.
  uint64_t below(uint32_t bound) { return ((next() >> 32) * bound) >> 32; }

  // Normal with mean 0 and deviation 1, by Box and Muller.
  float normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const uint64_t bits = next();
    const float u = (static_cast<float>(bits >> 40) + 1.0F) * 0x1p-24F;
    const float angle = static_cast<float>(bits & 0xffffff) * 0x1p-24F * 2.0F * std::numbers::pi_v<float>;
    const float radius = std::sqrt(-2.0F * std::log(u));
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }

 private:
  uint64_t state_;
  float spare_ = 0.0F;
  bool has_spare_ = false;
};

}  // namespace hypura
