#include "backend/gpu/layer_staging.h"

#include <algorithm>

#include "support/fail.h"

namespace hypura {

Result<std::unique_ptr<LayerStaging>> LayerStaging::create(std::span<const ExpertLayer> layers,
                                                           const GpuLayerRange& ours, const DeviceSlots& slots,
                                                           const ExpertStore& store, GpuDevice& device,
                                                           ExpertSource& source) {
  std::unique_ptr<LayerStaging> staging(new LayerStaging(layers, slots, store, device, source));
  if (Status status = staging->place(ours); !status) {
    return propagate(status.error());
  }
  if (staging->overlaps()) {
    for (Half& half : staging->halves_) {
      half.landed.reset(ggml_backend_event_new(device.inner()));
      half.used.reset(ggml_backend_event_new(device.inner()));
    }
  }
  return staging;
}

Status LayerStaging::place(const GpuLayerRange& ours) {
  size_t tensors = 0;
  for (const ExpertLayer& layer : layers_) {
    tensors += layer.parts.size();
  }
  context_ = describe_tensors(tensors);
  uint64_t most = 0;
  size_t staged = 0;
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const std::span<ggml_tensor* const> pool = slots_.matrices(i);
    const bool whole = !pool.empty() && pool.front()->ne[2] == layers_[i].experts;
    std::vector<ggml_tensor*>& matrices = matrices_.emplace_back();
    half_of_.push_back(staged % halves_.size());
    if (!whole && ours.has(i)) {
      matrices = describe_matrices(context_.get(), layers_[i], layers_[i].experts, "all of");
      most = std::max(most, ExpertRoom::bytes_for(device_.inner(), layers_[i], matrices));
      ++staged;
    }
  }
  for (Half& half : halves_) {
    if (most > 0) {
      auto room = ExpertRoom::create(device_.inner(), most, "the staging of layers");
      if (!room) {
        return propagate(room.error());
      }
      half.room = std::move(*room);
    }
  }
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    if (!matrices_[i].empty()) {
      if (Status status = halves_[half_of_[i]].room.place(layers_[i], matrices_[i]); !status) {
        return status;
      }
    }
  }
  return {};
}

Status LayerStaging::bring(uint32_t layer, bool decode) {
  source_.settle();  // before the stream waits for what computes: only its copies are waited for here
  Half& half = halves_[half_of_[layer]];
  wait_until_used(half);
  items_.clear();
  for (uint32_t expert = 0; expert < layers_[layer].experts; ++expert) {
    if (!store_.slot_of(layer, expert)) {
      items_.push_back({expert, expert});
    }
  }
  missed_ = items_.size();
  Status status = source_.run({device_.copy_stream(), layer, matrices_[layer]}, items_, decode);
  if (status && overlaps()) {
    ggml_backend_event_record(half.landed.get(), device_.copy_stream());
  }
  return status;
}

void LayerStaging::complete(uint32_t layer) {
  for (uint32_t expert = 0; expert < layers_[layer].experts; ++expert) {
    if (const auto slot = store_.slot_of(layer, expert)) {
      source_.copy_one(device_.stream(), layer, slots_.matrices(layer), *slot, matrices_[layer], expert);
    }
  }
  if (overlaps()) {
    ggml_backend_event_wait(device_.stream(), halves_[half_of_[layer]].landed.get());
  }
}

void LayerStaging::wait_until_used(Half& half) {
  if (overlaps() && half.in_use) {
    ggml_backend_event_wait(device_.copy_stream(), half.used.get());
    half.in_use = false;
  } else if (device_.computes_in_ram() && half.in_use) {
    ggml_backend_synchronize(device_.stream());
    synchronized();
  }
}

void LayerStaging::synchronized() {
  for (Half& half : halves_) {
    half.in_use = false;
  }
}

std::span<ggml_tensor* const> LayerStaging::make_room(uint32_t layer) {
  wait_until_used(halves_[half_of_[layer]]);
  return matrices_[layer];
}

void LayerStaging::used(uint32_t layer) {
  Half& half = halves_[half_of_[layer]];
  half.in_use = true;
  if (overlaps()) {
    ggml_backend_event_record(half.used.get(), device_.stream());
  }
}

}  // namespace hypura
