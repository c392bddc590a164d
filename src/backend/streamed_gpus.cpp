// The GPUs that compute with slots: what StreamedWeights makes of them and asks them.
#include <algorithm>

#include "backend/gpu/device_memory.h"
#include "backend/gpu/devices/gpu_list.h"
#include "backend/gpu/gpu_member.h"
#include "backend/gpu/prefetch/device_predictor.h"
#include "backend/stream_device.h"
#include "residency/hot_set.h"
#include "support/fail.h"
#include "support/units.h"
#include "tiers/direct_place.h"
#include "tiers/ram_slots.h"

namespace hypura {

namespace {

// Those of the streamed layers that are in `range`, which are ascending.
GpuLayerRange streamed_in(const StreamLayout& layout, const GpuRange& range) {
  const auto before = [&](int64_t end) {
    return static_cast<uint32_t>(std::ranges::count_if(
        layout.expert_layers, [end](const ExpertLayer& layer) { return int64_t{layer.layer} < end; }));
  };
  return {before(range.first), before(range.end)};
}

// "0|1": the layers before that one.
std::string numbers_before(int64_t end) {
  std::string list;
  for (int64_t layer = 0; layer < end; ++layer) {
    list += fmt::format("{}{}", list.empty() ? "" : "|", layer);
  }
  return list;
}

// "2|3"; empty where there are none.
std::string numbers_in(const StreamLayout& layout, const GpuLayerRange& layers) {
  std::string list;
  for (uint32_t i = layers.first; i < layers.end; ++i) {
    list += fmt::format("{}{}", list.empty() ? "" : "|", layout.expert_layers[i].layer);
  }
  return list;
}

// "^(?=blk\\.(2|3)\\.)(?:...)": what the layout's matches, in these layers; empty where there are none.
std::string pattern_in(const StreamLayout& layout, const std::string& layers) {
  return layers.empty() ? layers : fmt::format("^(?=blk\\.({})\\.)(?:{})", layers, layout.pattern);
}

// The weights that router_steps() asks for.
std::string asked_in(const StreamLayout& layout, const GpuLayerRange& layers) {
  const std::string list = numbers_in(layout, layers);
  return list.empty()
             ? list
             : fmt::format("^blk\\.({})\\.(ffn_gate_inp|exp_probs_b|ffn_norm|post_attention_norm)\\.(weight|bias)$",
                           list);
}

// What one of two regular expressions matches, either of which may be empty.
std::string either(const std::string& first, const std::string& second) {
  return first + (first.empty() || second.empty() ? "" : "|") + second;
}

}  // namespace

Result<std::unique_ptr<StreamedWeights>> StreamedWeights::create_over(const Model& model, Reader& reader,
                                                                      StreamLayout layout,
                                                                      const std::vector<GpuRange>& gpus) {
  const auto is_gpus = [&](const DenseItem& item) {
    return item.tensor->layer < 0 || item.tensor->layer >= gpus.front().first;
  };
  if (!gpus.empty() &&
      (layout.expert_layers.empty() || layout.repacked || std::ranges::any_of(layout.dense, is_gpus))) {
    return fail(ErrorCode::kInternal,
                "a GPU's layers stream experts as they are in the model's own files, and nothing else");
  }
  auto weights = create(model, reader, std::move(layout));
  if (weights && !gpus.empty()) {
    StreamedWeights& its = **weights;
    its.host_ = streamed_in(its.layout_, {{}, 0, gpus.front().first});
    its.asked_pattern_ = asked_in(its.layout_, its.host_);
    its.host_pattern_ = either(pattern_in(its.layout_, numbers_before(gpus.front().first)), table_pattern(its.layout_));
  }
  for (size_t i = 0; weights && i < gpus.size(); ++i) {
    if (Status status = (*weights)->add_gpu(gpus[i], i); !status) {
      return propagate(status.error());
    }
  }
  return weights;
}

Status StreamedWeights::add_gpu(const GpuRange& range, size_t number) {
  ggml_backend_dev_t inner = gpu_by_name(range.device);
  if (inner == nullptr) {
    return fail(ErrorCode::kUsage, "ggml has no device '{}' here", range.device);
  }
  auto device = GpuDevice::create(inner, *this, {gpu_calls_, number});
  if (!device) {
    return propagate(device.error());
  }
  auto gpu = std::make_unique<GpuMember>();
  gpu->range = streamed_in(layout_, range);
  gpu->pattern = pattern_in(layout_, numbers_in(layout_, gpu->range));
  gpu->device = std::move(*device);
  gpu->stream_type = make_stream_buffer_type(this, gpu->device->device());
  gpus_.push_back(std::move(gpu));
  return {};
}

std::vector<StreamBuffers> StreamedWeights::stream_buffers() {
  std::vector<StreamBuffers> all;
  for (const auto& gpu : gpus_) {
    all.push_back({gpu->pattern, &gpu->stream_type});
  }
  all.push_back({gpus_.empty() ? layout_.pattern : host_pattern_, &stream_type_});
  std::erase_if(all, [](const StreamBuffers& it) { return it.pattern.empty(); });
  return all;
}

ggml_backend_buffer_type_t StreamedWeights::stream_buffer_type() {
  return gpus_.empty() ? &stream_type_ : &gpus_.front()->stream_type;
}

std::vector<ggml_backend_dev_t> StreamedWeights::gpu_devices() {
  std::vector<ggml_backend_dev_t> devices;
  for (const auto& gpu : gpus_) {
    devices.push_back(gpu->device->device());
  }
  return devices;
}

ggml_backend_dev_t StreamedWeights::gpu_device() {
  return gpus_.empty() ? nullptr : gpus_.front()->device->device();
}

const GpuExecutor* StreamedWeights::gpu(size_t number) const {
  return number < gpus_.size() ? gpus_[number]->experts.get() : nullptr;
}

std::vector<const GpuStats*> StreamedWeights::gpu_stats() const {
  std::vector<const GpuStats*> all;
  for (const auto& gpu : gpus_) {
    if (gpu->experts != nullptr) {
      all.push_back(&gpu->experts->stats());
    }
  }
  return all;
}

std::vector<std::string> StreamedWeights::gpu_names() const {
  std::vector<std::string> names;
  for (const auto& gpu : gpus_) {
    names.emplace_back(ggml_backend_dev_name(gpu->device->inner()));
  }
  return names;
}

bool StreamedWeights::lost() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(gpus_, [](const auto& gpu) { return gpu->experts != nullptr && gpu->experts->lost(); });
}

bool StreamedWeights::computes_in_ram() const {
  return !gpus_.empty() && gpus_.front()->device->computes_in_ram();
}

// Copies from memory that is not pinned are several times slower. What one of CUDA's devices has pinned is pinned for
// all of them. A device that pins none takes any.
Result<std::unique_ptr<TierSlots>> StreamedWeights::pinned_slots() {
  if (ggml_backend_dev_host_buffer_type(gpus_.front()->device->inner()) == nullptr) {
    return RamSlots::create(layout_.expert_layers, reader_, placed_.slots);
  }
  const uint64_t bytes = RamSlots::bytes_for(layout_.expert_layers, placed_.slots);
  auto memory = allocate_pinned(gpus_.front()->device->inner(), bytes + kDirectAlignment);
  if (!memory) {
    return propagate(memory.error(), "the expert slots");
  }
  slot_memory_ = std::move(*memory);
  const auto base = reinterpret_cast<uintptr_t>(ggml_backend_buffer_get_base(slot_memory_.get()));
  auto* aligned = reinterpret_cast<std::byte*>(round_up(base, kDirectAlignment));
  return RamSlots::over(layout_.expert_layers, reader_, {aligned, bytes});
}

// Other GPUs' layers have no slots on this one.
GpuUse StreamedWeights::use_of(const GpuMember& gpu) const {
  GpuUse use = gpu_use_;
  use.layers = gpu.range;
  for (uint32_t layer = 0; layer < use.layer_slots.size(); ++layer) {
    use.layer_slots[layer] = gpu.range.has(layer) ? use.layer_slots[layer] : 0;
  }
  return use;
}

Status StreamedWeights::allocate_gpus(uint32_t max_rows) {
  const GpuExecutor::Most most = {static_cast<uint32_t>(model_.experts_used), max_rows};
  for (const auto& gpu : gpus_) {
    auto experts =
        GpuExecutor::create(*this, *gpu->device, expert_store_.get(), reader_, use_of(*gpu), most, inner_.get());
    if (!experts) {
      return propagate(experts.error());
    }
    gpu->experts = std::move(*experts);
  }
  return {};
}

// Each asks the routers of its own layers.
Status StreamedWeights::predict_on_gpus() {
  for (const auto& gpu : gpus_) {
    auto predictor = DevicePredictor::create(layout_, *gpu->device);
    if (!predictor) {
      return propagate(predictor.error());
    }
    gpu->predictor = std::move(*predictor);
  }
  return {};
}

// The store in RAM knows one layer in work: who had it before gives back what his copies still hold there. The next
// needs what he computed anyway.
Result<GpuExecutor*> StreamedWeights::turn_to(size_t gpu) {
  if (turn_ != gpu) {
    if (Status status = turn_to_processors(); !status) {
      return propagate(status.error());
    }
    turn_ = gpu;
  }
  return gpus_[gpu]->experts.get();
}

Status StreamedWeights::turn_to_processors() {
  Status status = turn_ ? gpus_[*turn_]->experts->settle() : Status();
  turn_.reset();
  return status;
}

// Whether something is left.
Result<bool> StreamedWeights::warm_gpus() {
  if (has_computed_) {
    return false;
  }
  for (; warmed_gpus_ < gpus_.size(); ++warmed_gpus_) {
    const auto executor = turn_to(warmed_gpus_);
    if (!executor) {
      return propagate(executor.error());
    }
    if ((*executor)->warm()) {
      return true;
    }
  }
  if (expert_store_ == nullptr) {
    return false;
  }
  if (!hot_below_.empty()) {
    if (Status status = turn_to_processors(); !status) {
      return propagate(status.error());
    }
    expert_store_->warm_with(std::exchange(hot_below_, {}));
  }
  return expert_store_->warm();
}

}  // namespace hypura
