#include "generate/engine/live_experts.h"

#include <utility>

namespace hypura {

namespace {

constexpr std::chrono::milliseconds kLiveInterval{100};
constexpr std::chrono::milliseconds kIdleInterval{1000};
constexpr std::chrono::seconds kLiveWanted{3};
constexpr uint32_t kLiveTokens = 64;  // whose choices count as lately

}  // namespace

LiveExperts::LiveExperts(EngineImpl& engine) : engine_(engine) {
  note();
}

void LiveExperts::note_pass(bool idle) {
  const auto now = std::chrono::steady_clock::now();
  const bool wanted = now.time_since_epoch().count() < wanted_until_.load();
  if (idle || now - noted_ >= (wanted ? kLiveInterval : kIdleInterval)) {
    note();
  }
}

void LiveExperts::note() {
  noted_ = std::chrono::steady_clock::now();
  std::vector<LiveLayer> layers(static_cast<size_t>(engine_.model().layers));
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i].layer = static_cast<int32_t>(i);
  }
  if (engine_.weights() != nullptr) {
    for (ExpertsOfLayer& experts : engine_.weights()->experts(kLiveTokens)) {
      if (experts.layer >= 0 && static_cast<size_t>(experts.layer) < layers.size()) {
        LiveLayer& layer = layers[static_cast<size_t>(experts.layer)];
        for (size_t i = 0; i < experts.resident.size(); ++i) {
          layer.resident += experts.on_gpu[i] ? '2' : experts.resident[i] ? '1' : '0';
        }
        layer.used = std::move(experts.used);
      }
    }
  } else {  // nobody sees which are used, but all are there
    for (const TensorInfo& tensor : engine_.model().tensors) {
      if (tensor.experts() > 0 && tensor.layer >= 0 && static_cast<size_t>(tensor.layer) < layers.size()) {
        layers[static_cast<size_t>(tensor.layer)].resident.assign(static_cast<size_t>(tensor.experts()), '1');
      }
    }
  }
  const std::lock_guard lock(mutex_);
  layers_ = std::move(layers);
}

std::vector<LiveLayer> LiveExperts::layers() const {
  wanted_until_.store((std::chrono::steady_clock::now() + kLiveWanted).time_since_epoch().count());
  const std::lock_guard lock(mutex_);
  return layers_;
}

}  // namespace hypura
