#include "make_model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "support/units.h"

namespace hypura {
namespace {

constexpr uint64_t kMinPoolBytes = 256 * kKiB;
constexpr uint64_t kMaxPoolBytes = 4 * kMiB;
constexpr size_t kStretchBytes = 288;  // long enough for memcpy, short enough for many combinations in a row
// Special tokens score this much of what others do, far below the best of thousands.
constexpr float kSpecialDamping = 0.05F;

size_t unit_bytes(ggml_type type) {
  return ggml_row_size(type, row_unit(type));
}

// A byte that holds only quantised values (for F16 the low mantissa bits), not a scale.
size_t stamp_offset(ggml_type type) {
  switch (type) {
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q5_0:
      return sizeof(ggml_fp16_t);
    case GGML_TYPE_MXFP4:
      return sizeof(uint8_t);
    case GGML_TYPE_Q2_K:
      return 16;
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q4_K:
      return 2 * sizeof(ggml_fp16_t) + 12;
    default:
      return 0;
  }
}

uint32_t spreading_stride(uint32_t blocks) {
  uint32_t stride = static_cast<uint32_t>(static_cast<double>(blocks) * 0.618) | 1U;
  while (std::gcd(stride, blocks) != 1) {
    stride += 2;
  }
  return stride;
}

void fill_centred(std::span<float> values, float deviation, float mean, Rng& rng) {
  float sum = 0.0F;
  for (float& value : values) {
    value = deviation * rng.normal();
    sum += value;
  }
  const float shift = mean - sum / static_cast<float>(values.size());
  for (float& value : values) {
    value += shift;
  }
}

// Its rows are put together from a pool of blocks.
bool is_pooled(const TensorPlan& tensor) {
  return tensor.fill == Fill::kBlocks || tensor.fill == Fill::kOutput;
}

// The name that decides the bytes.
std::string_view original(const TensorPlan& tensor) {
  return tensor.copy_of.empty() ? tensor.name : tensor.copy_of;
}

// The place of each expert in the order of popularity, another order in each layer.
std::vector<uint32_t> popularity_ranks(uint64_t seed, size_t experts) {
  std::vector<uint32_t> ranks(experts);
  std::iota(ranks.begin(), ranks.end(), 1U);
  Rng rng(seed);
  for (size_t i = experts; i > 1; --i) {
    std::swap(ranks[i - 1], ranks[rng.below(static_cast<uint32_t>(i))]);
  }
  return ranks;
}

}  // namespace

BlockPool::BlockPool(ggml_type type, float deviation, float mean, uint64_t bytes, uint64_t seed)
    : block_bytes_(unit_bytes(type)),
      blocks_(static_cast<uint32_t>(bytes / block_bytes_)),
      stretch_(static_cast<uint32_t>(std::max<size_t>(1, kStretchBytes / block_bytes_))),
      stride_(spreading_stride(blocks_)),
      stamp_offset_(stamp_offset(type)),
      data_((blocks_ + stretch_) * block_bytes_) {
  // Batches bound the memory for floats.
  constexpr uint32_t kBatch = 1024;
  const int64_t unit = row_unit(type);
  std::vector<float> values(kBatch * static_cast<size_t>(unit));
  Rng rng(seed);
  for (uint32_t done = 0; done < blocks_; done += kBatch) {
    const uint32_t count = std::min(kBatch, blocks_ - done);
    for (uint32_t i = 0; i < count; ++i) {
      fill_centred(std::span(values).subspan(i * static_cast<size_t>(unit), static_cast<size_t>(unit)), deviation, mean,
                   rng);
    }
    ggml_quantize_chunk(type, values.data(), data_.data() + done * block_bytes_, 0, count, unit, nullptr);
  }
  std::memcpy(data_.data() + blocks_ * block_bytes_, data_.data(), stretch_ * block_bytes_);
}

void BlockPool::fill_row(uint64_t row, Rng& rng, std::span<uint8_t> out) const {
  uint64_t block = row % blocks_ * stride_ % blocks_;
  for (size_t at = 0; at < out.size();) {
    const size_t length = std::min(out.size() - at, stretch_ * block_bytes_);
    std::memcpy(out.data() + at, data_.data() + block * block_bytes_, length);
    at += length;
    block = rng.below(blocks_);
  }
  out[stamp_offset_] = static_cast<uint8_t>(out[stamp_offset_] ^ (row / blocks_ & 0xff));
}

TensorSource::TensorSource(const GeneratorPlan& plan, const Vocab& vocab) : plan_(plan), vocab_(vocab) {
  for (const TensorPlan& tensor : plan.whole) {
    if (is_pooled(tensor)) {
      add_demand({tensor.type, tensor.deviation, tensor.mean}, tensor.bytes());
    }
    if (tensor.fill == Fill::kOutput) {
      add_demand({tensor.type, kSpecialDamping * tensor.deviation, tensor.mean}, 0);
    }
  }
}

void TensorSource::add_demand(const PoolKey& key, uint64_t bytes) {
  demands_.try_emplace(key, Demand{.number = demands_.size(), .bytes = 0}).first->second.bytes += bytes;
}

// Size and seed depend on the whole model alone, so that a part of it, or one with quiet layers, has the same pools.
const BlockPool& TensorSource::pool(const PoolKey& key, float share) {
  auto found = pools_.find({key, share});
  if (found == pools_.end()) {
    const Demand& demand = demands_.at(key);
    const uint64_t bytes = std::clamp(demand.bytes / 8, kMinPoolBytes, kMaxPoolBytes);
    const uint64_t seed = mix_bits(plan_.spec.seed) + demand.number;
    const auto [type, deviation, mean] = key;
    found = pools_.emplace(std::pair{key, share}, BlockPool(type, share * deviation, share * mean, bytes, seed)).first;
  }
  return found->second;
}

void TensorSource::fill_rows(const TensorPlan& tensor, uint64_t first, std::span<uint8_t> out) {
  if (is_pooled(tensor)) {
    fill_blocks(tensor, first, out);
  } else {
    fill_floats(tensor, first, out);
  }
}

void TensorSource::fill_blocks(const TensorPlan& tensor, uint64_t first, std::span<uint8_t> out) {
  const size_t row_bytes = ggml_row_size(tensor.type, tensor.dims[0]);
  const BlockPool& plain = pool({tensor.type, tensor.deviation, tensor.mean}, tensor.share);
  const BlockPool& damped =
      tensor.fill == Fill::kOutput ? pool({tensor.type, kSpecialDamping * tensor.deviation, tensor.mean}, 1.0F) : plain;
  const uint64_t stream = mix_bits(plan_.spec.seed) ^ hash_name(original(tensor));
  for (size_t i = 0; i < out.size() / row_bytes; ++i) {
    const uint64_t row = first + i;
    Rng rng(stream + row);
    const bool special = tensor.fill == Fill::kOutput && vocab_.special[row];
    (special ? damped : plain).fill_row(tensor.first_row + row, rng, out.subspan(i * row_bytes, row_bytes));
  }
}

void TensorSource::fill_floats(const TensorPlan& tensor, uint64_t first, std::span<uint8_t> out) {
  const auto width = static_cast<size_t>(tensor.dims[0]);
  const size_t row_bytes = width * sizeof(float);
  const uint64_t stream = mix_bits(plan_.spec.seed) ^ hash_name(original(tensor));
  std::vector<float> row(width);
  for (size_t i = 0; i < out.size() / row_bytes; ++i) {
    if (tensor.fill == Fill::kRouter) {
      fill_router_row(tensor, first + i, row);
    } else if (tensor.fill == Fill::kToken) {
      std::fill(row.begin(), row.end(), 0.0F);
      row[first + i] = tensor.deviation;
      row[width / 2 + first + i] = kStateShare;
    } else {
      Rng rng(stream + first + i);
      const float centre = tensor.fill == Fill::kNorm ? 1.0F : tensor.mean;
      const float deviation = tensor.share * tensor.deviation;
      std::generate(row.begin(), row.end(), [&] { return centre + deviation * rng.normal(); });
    }
    std::memcpy(out.data() + i * row_bytes, row.data(), row_bytes);
  }
}

// A score is a part that varies with the token, from values that sum to zero, plus a constant from the mean that all
// hidden states share: -skew * log(rank), so that experts are drawn about in proportion to rank^-skew.
void TensorSource::fill_router_row(const TensorPlan& tensor, uint64_t expert, std::span<float> row) {
  const uint64_t stream = mix_bits(plan_.spec.seed) ^ hash_name(original(tensor));
  const auto ranks = popularity_ranks(~stream, static_cast<size_t>(tensor.dims[1]));
  const float popularity = static_cast<float>(-plan_.spec.skew) * std::log(static_cast<float>(ranks[expert]));
  Rng rng(stream + expert);
  fill_centred(row, tensor.deviation, popularity / (tensor.mean * static_cast<float>(row.size())), rng);
}

}  // namespace hypura
