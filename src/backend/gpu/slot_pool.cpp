#include "backend/gpu/slot_pool.h"

#include <algorithm>
#include <limits>

#include "backend/gpu/devices/gpu_list.h"
#include "support/fail.h"

namespace hypura {

namespace {

bool alike(const ExpertLayer& a, const ExpertLayer& b) {
  return a.experts == b.experts && std::ranges::equal(a.parts, b.parts, [](const ExpertPart& x, const ExpertPart& y) {
           return x.tensor->type == y.tensor->type && x.tensor->shape[0] == y.tensor->shape[0] &&
                  x.tensor->shape[1] == y.tensor->shape[1];
         });
}

// Whether all experts of `layer` find room where those of `large` have theirs.
bool fits_into(ggml_backend_buffer_type_t type, const ExpertLayer& layer, const ExpertLayer& large) {
  if (layer.parts.size() != large.parts.size()) {
    return false;
  }
  const ggml_context_ptr context = describe_tensors(layer.parts.size());
  const std::vector<ggml_tensor*> matrices = describe_matrices(context.get(), layer, layer.experts, "");
  for (size_t part = 0; part < matrices.size(); ++part) {
    if (ggml_backend_buft_get_alloc_size(type, matrices[part]) > large.experts * large.parts[part].slice_bytes) {
      return false;
    }
  }
  return true;
}

bool may_have(ggml_backend_buffer_type_t type, const ExpertLayer& layer, uint64_t places) {
  constexpr auto kMostBlocks = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
  const auto may = [&](const ExpertPart& part) {
    const auto block = ggml_type_size(static_cast<ggml_type>(part.tensor->type));
    const uint64_t bytes = places * part.slice_bytes;
    return part.slice_bytes * layer.experts % ggml_backend_buft_get_alignment(type) == 0 &&
           bytes / block <= kMostBlocks && bytes <= ggml_backend_buft_get_max_size(type);
  };
  return std::ranges::all_of(layer.parts, may);
}

}  // namespace

std::vector<bool> pooled_layers(ggml_backend_dev_t device, std::span<const ExpertLayer> layers, uint64_t places) {
  std::vector<bool> pooled(layers.size(), false);
  if (layers.empty() || computes_in_ram(device)) {
    return pooled;
  }
  ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(device);
  const ExpertLayer& large =
      *std::ranges::max_element(layers, {}, [](const ExpertLayer& it) { return it.experts * it.expert_bytes(); });
  const auto belongs = [&](const ExpertLayer& it) { return alike(it, large) || fits_into(type, it, large); };
  if (may_have(type, large, places + 2 * uint64_t{large.experts}) && std::ranges::all_of(layers, belongs)) {
    for (size_t i = 0; i < layers.size(); ++i) {
      pooled[i] = alike(layers[i], large);
    }
  }
  return pooled;
}

Result<std::unique_ptr<SlotPool>> SlotPool::create(std::span<const ExpertLayer> layers, std::span<const Share> shares,
                                                   uint32_t landing, ggml_backend_dev_t device) {
  std::unique_ptr<SlotPool> pool(new SlotPool);
  pool->shares_.assign(shares.begin(), shares.end());
  const auto first = static_cast<size_t>(std::ranges::find_if(shares, &Share::pooled) - shares.begin());
  pool->experts_ = layers[first].experts;
  pool->number_places(pool->experts_, landing);
  uint32_t places = 2 * pool->experts_;
  for (const Share& share : shares) {
    places += share.pooled ? share.slots : 0;
  }
  if (Status status = pool->allocate(layers[first], places, device); !status) {
    return propagate(status.error());
  }
  return pool;
}

// Of the two stretches the first places are borrowed, in turn.
void SlotPool::number_places(uint32_t experts, uint32_t landing) {
  uint32_t own = 2 * experts;
  uint32_t borrowed = 0;
  const uint32_t of_each = experts - landing;
  for (const Share& share : shares_) {
    std::vector<uint32_t>& places = places_.emplace_back();
    for (uint32_t i = 0; share.pooled && i < share.slots; ++i) {
      places.push_back(own++);
    }
    for (uint32_t i = 0; share.pooled && i < share.borrowed; ++i, ++borrowed) {
      places.push_back(borrowed < of_each ? borrowed : experts + borrowed - of_each);
    }
  }
}

Status SlotPool::allocate(const ExpertLayer& layer, uint32_t places, ggml_backend_dev_t device) {
  ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(device);
  context_ = describe_tensors(layer.parts.size());
  matrices_ = describe_matrices(context_.get(), layer, places, "all slots of");
  for (ggml_tensor* matrix : matrices_) {
    auto buffer = allocate_on(type, bytes_in(type, {&matrix, 1}), "the slots of all layers");
    if (!buffer) {
      return propagate(buffer.error());
    }
    buffers_.push_back(std::move(*buffer));
    if (Status status = place_in(buffers_.back().get(), {&matrix, 1}); !status) {
      return status;
    }
  }
  return {};
}

uint32_t SlotPool::place(uint32_t layer, uint32_t slot) const {
  return places_[layer][slot];
}

Status SlotPool::place_whole(size_t half, std::span<ggml_tensor* const> matrices) const {
  for (size_t part = 0; part < matrices.size(); ++part) {
    auto* base = static_cast<std::byte*>(matrices_[part]->data) + half * experts_ * matrices_[part]->nb[2];
    if (ggml_backend_tensor_alloc(buffers_[part].get(), matrices[part], base) != GGML_STATUS_SUCCESS) {
      return fail(ErrorCode::kInternal, "ggml could not place '{}'", matrices[part]->name);
    }
  }
  return {};
}

}  // namespace hypura
