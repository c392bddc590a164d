#include "backend/gpu/layer_staging.h"

#include <algorithm>

#include "support/fail.h"

namespace hypura {

Result<std::unique_ptr<LayerStaging>> LayerStaging::create(std::span<const ExpertLayer> layers,
                                                           const DeviceSlots& slots, const ExpertStore& store,
                                                           GpuDevice& device, ExpertUpload& upload) {
  std::unique_ptr<LayerStaging> staging(new LayerStaging(layers, slots, store, device, upload));
  if (Status status = staging->place(); !status) {
    return propagate(status.error());
  }
  if (staging->overlaps()) {
    staging->slots_landed_.reset(ggml_backend_event_new(device.inner()));
    for (Half& half : staging->halves_) {
      half.landed.reset(ggml_backend_event_new(device.inner()));
      half.used.reset(ggml_backend_event_new(device.inner()));
    }
  }
  return staging;
}

Status LayerStaging::place() {
  size_t tensors = 0;
  for (const ExpertLayer& layer : layers_) {
    tensors += layer.parts.size();
  }
  context_ = describe_tensors(tensors);
  ggml_backend_buffer_type_t type = ggml_backend_get_default_buffer_type(device_.stream());
  uint64_t most = 0;
  size_t staged = 0;
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const std::span<ggml_tensor* const> pool = slots_.matrices(i);
    const bool whole = !pool.empty() && pool.front()->ne[2] == layers_[i].experts;
    std::vector<ggml_tensor*>& matrices = matrices_.emplace_back();
    half_of_.push_back(staged % halves_.size());
    if (!whole) {
      matrices = describe_matrices(context_.get(), layers_[i], layers_[i].experts, "all of");
      most = std::max(most, bytes_in(type, matrices));
      ++staged;
    }
  }
  for (Half& half : halves_) {
    if (most > 0) {
      auto buffer = allocate_on(type, most, "the staging of layers");
      if (!buffer) {
        return propagate(buffer.error());
      }
      half.buffer = std::move(*buffer);
    }
  }
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    if (!matrices_[i].empty()) {
      if (Status status = place_in(halves_[half_of_[i]].buffer.get(), matrices_[i]); !status) {
        return status;
      }
    }
  }
  return {};
}

Result<std::span<ggml_tensor* const>> LayerStaging::bring(uint32_t layer, bool decode) {
  upload_.settle();  // before the stream waits for what computes: only its copies are waited for here
  begin(halves_[half_of_[layer]]);
  items_.clear();
  for (uint32_t expert = 0; expert < layers_[layer].experts; ++expert) {
    if (const auto slot = store_.slot_of(layer, expert)) {
      copy_on_device(layer, expert, *slot);
    } else {
      items_.push_back({expert, expert});
    }
  }
  if (Status status = upload_.run({device_.copy_stream(), layer, matrices_[layer]}, items_, decode); !status) {
    return propagate(status.error());
  }
  missed_ = items_.size();
  if (overlaps()) {
    ggml_backend_event_t landed = halves_[half_of_[layer]].landed.get();
    ggml_backend_event_record(landed, device_.copy_stream());
    ggml_backend_event_wait(device_.stream(), landed);
  }
  return matrices_[layer];
}

// The copy stream waits for what computes with the half's last layer, and for what is on its way into the slots.
void LayerStaging::begin(Half& half) {
  wait_until_used(half);
  if (overlaps() && slots_changed_) {
    ggml_backend_event_record(slots_landed_.get(), device_.stream());
    ggml_backend_event_wait(device_.copy_stream(), slots_landed_.get());
  }
  slots_changed_ = false;
}

void LayerStaging::wait_until_used(Half& half) {
  if (overlaps() && half.in_use) {
    ggml_backend_event_wait(device_.copy_stream(), half.used.get());
    half.in_use = false;
  }
}

std::span<ggml_tensor* const> LayerStaging::make_room(uint32_t layer) {
  wait_until_used(halves_[half_of_[layer]]);
  return matrices_[layer];
}

void LayerStaging::copy_on_device(uint32_t layer, uint32_t expert, uint32_t slot) {
  for (size_t part = 0; part < matrices_[layer].size(); ++part) {
    copy_expert(device_.copy_stream(), *slots_.matrices(layer)[part], slot, *matrices_[layer][part], expert);
  }
}

void LayerStaging::used(uint32_t layer) {
  if (overlaps()) {
    Half& half = halves_[half_of_[layer]];
    ggml_backend_event_record(half.used.get(), device_.stream());
    half.in_use = true;
  }
}

}  // namespace hypura
