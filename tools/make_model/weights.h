// Random weights at disk speed. Quantising is slow, so a few megabytes of blocks are quantised once for each kind of
// tensor, and rows are put together from random stretches of them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "make_model/plan.h"
#include "make_model/rng.h"
#include "make_model/vocab.h"

namespace hypura {

// Quantised blocks of normal values of one type, deviation and mean. The values of a block sum to its mean exactly
// before quantising.
class BlockPool {
 public:
  // `bytes` is the approximate size of the pool.
  BlockPool(ggml_type type, float deviation, float mean, uint64_t bytes, uint64_t seed);

  // Fills `out`, a whole row. Rows with different numbers differ: the number decides where the first stretch starts
  // and one byte of its first block, which tells 256 * blocks rows apart for certain; beyond that, chance does.
  void fill_row(uint64_t row, Rng& rng, std::span<uint8_t> out) const;

 private:
  size_t block_bytes_;
  uint32_t blocks_;            // the pool's blocks; stretch_ more follow, copies of the first
  uint32_t stretch_;           // blocks copied at a time
  uint32_t stride_;            // coprime to blocks_, so that row numbers spread over the pool
  size_t stamp_offset_;        // a byte of the block that may hold anything
  std::vector<uint8_t> data_;  // (blocks_ + stretch_) * block_bytes_
};

// The bytes of every tensor of a plan. Not thread-safe.
class TensorSource {
 public:
  // Keeps references to both.
  TensorSource(const GeneratorPlan& plan, const Vocab& vocab);

  // The rows [first, first + out.size() / row bytes) of a tensor; `out` must hold whole rows.
  void fill_rows(const TensorPlan& tensor, uint64_t first, std::span<uint8_t> out);

 private:
  using PoolKey = std::tuple<ggml_type, float, float>;  // type, deviation, mean

  struct Demand {
    uint64_t number = 0;  // of the pool, in the order of the whole model's tensors
    uint64_t bytes = 0;   // of the whole model that are made from it
  };

  void add_demand(const PoolKey& key, uint64_t bytes);
  const BlockPool& pool(const PoolKey& key, float share);
  void fill_blocks(const TensorPlan& tensor, uint64_t first, std::span<uint8_t> out);
  void fill_floats(const TensorPlan& tensor, uint64_t first, std::span<uint8_t> out);
  void fill_router_row(const TensorPlan& tensor, uint64_t expert, std::span<float> row);

  const GeneratorPlan& plan_;
  const Vocab& vocab_;
  // With the share: a quiet layer's pool holds the same values, made smaller.
  std::map<std::pair<PoolKey, float>, BlockPool> pools_;
  std::map<PoolKey, Demand> demands_;
};

}  // namespace hypura
