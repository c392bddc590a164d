#include "backend/gpu/layer_staging.h"

#include <algorithm>

#include "support/fail.h"

namespace hypura {

Result<std::unique_ptr<LayerStaging>> LayerStaging::create(std::span<const ExpertLayer> layers,
                                                           const GpuLayerRange& ours, const DeviceSlots& slots,
                                                           const ExpertStore& store, GpuDevice& device,
                                                           ExpertSource& source, const SlotPool* pool,
                                                           uint32_t landing) {
  std::unique_ptr<LayerStaging> staging(new LayerStaging(layers, slots, store, device, source, pool, landing));
  if (Status status = staging->place(staging->describe(ours)); !status) {
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

// Gives the bytes of the largest layer that passes through.
uint64_t LayerStaging::describe(const GpuLayerRange& ours) {
  size_t tensors = 0;
  for (const ExpertLayer& layer : layers_) {
    tensors += layer.parts.size();
  }
  context_ = describe_tensors(tensors);
  uint64_t most = 0;
  size_t staged = 0;
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    std::vector<ggml_tensor*>& matrices = matrices_.emplace_back();
    half_of_.push_back(staged % halves_.size());
    if (store_.own_slots(i) < layers_[i].experts && ours.has(i)) {
      matrices = describe_matrices(context_.get(), layers_[i], layers_[i].experts, "all of");
      most = std::max(most, ExpertRoom::bytes_for(device_.inner(), layers_[i], matrices));
      ++staged;
    }
  }
  return most;
}

Status LayerStaging::place(uint64_t most) {
  for (Half& half : halves_) {
    if (most > 0 && pool_ == nullptr) {
      auto room = ExpertRoom::create(device_.inner(), most, "the staging of layers");
      if (!room) {
        return propagate(room.error());
      }
      half.room = std::move(*room);
    }
  }
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    if (!matrices_[i].empty()) {
      const size_t half = half_of_[i];
      Status status = pool_ != nullptr ? pool_->place_whole(half, matrices_[i])
                                       : halves_[half].room.place(layers_[i], matrices_[i]);
      if (!status) {
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
      source_.copy_one(device_.stream(), layer, slots_.matrices(layer), slots_.place(layer, *slot), matrices_[layer],
                       expert);
    }
  }
  if (overlaps()) {
    ggml_backend_event_wait(device_.stream(), halves_[half_of_[layer]].landed.get());
  }
}

void LayerStaging::gather(uint32_t layer, std::span<const uint32_t> experts) {
  Half& half = halves_[half_of_[layer]];
  if (overlaps()) {  // behind what comes there ahead of a layer
    ggml_backend_event_record(half.landed.get(), device_.copy_stream());
    ggml_backend_event_wait(device_.stream(), half.landed.get());
  }
  for (const uint32_t expert : experts) {
    const uint32_t place = slots_.place(layer, *store_.slot_of(layer, expert));
    source_.copy_one(device_.stream(), layer, slots_.matrices(layer), place, matrices_[layer], expert);
  }
}

void LayerStaging::vacate() {
  for (Half& half : halves_) {
    half.in_use = true;
    if (overlaps()) {
      ggml_backend_event_record(half.used.get(), device_.stream());
    }
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

LayerStaging::Landing LayerStaging::make_room(uint32_t layer) {
  wait_until_used(halves_[half_of_[layer]]);
  const uint32_t experts = layers_[layer].experts;
  // Of a pool the last places: where others' slots are larger, experts of this layer would lie among what is borrowed.
  const uint32_t kept = pool_ == nullptr ? experts : pool_->has(layer) ? landing_ : 0;
  return {matrices_[layer], experts - kept, kept};
}

void LayerStaging::used(uint32_t layer) {
  Half& half = halves_[half_of_[layer]];
  half.in_use = true;
  if (overlaps()) {
    ggml_backend_event_record(half.used.get(), device_.stream());
  }
}

}  // namespace hypura
