#include "backend/gpu/device_slots.h"

#include <algorithm>
#include <utility>

#include "backend/gpu/prefetch/slot_prefetch.h"
#include "support/fail.h"

namespace hypura {

Result<std::unique_ptr<DeviceSlots>> DeviceSlots::create(std::span<const ExpertLayer> layers,
                                                         std::span<const uint32_t> slots, GpuDevice& device,
                                                         ExpertSource& source, const SlotPool* pool) {
  std::unique_ptr<DeviceSlots> made(new DeviceSlots(device.stream(), source, pool));
  size_t tensors = 0;
  for (const ExpertLayer& layer : layers) {
    tensors += layer.parts.size();
  }
  made->context_ = describe_tensors(tensors);
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<ggml_tensor*>& matrices = made->matrices_.emplace_back();
    const bool pooled = made->pooled(static_cast<uint32_t>(i));
    made->holds_.emplace_back(pooled ? pool->places() : slots[i], kNoExpert);
    if (pooled) {
      matrices.assign(pool->matrices().begin(), pool->matrices().end());
    }
    if (pooled || slots[i] == 0) {
      continue;
    }
    matrices = describe_matrices(made->context_.get(), layers[i], slots[i], "slots of");
    auto room = ExpertRoom::create(device.inner(), ExpertRoom::bytes_for(device.inner(), layers[i], matrices),
                                   fmt::format("the slots of layer {}", layers[i].layer));
    if (!room) {
      return propagate(room.error());
    }
    made->rooms_.push_back(std::move(*room));
    if (Status status = made->rooms_.back().place(layers[i], matrices); !status) {
      return propagate(status.error());
    }
  }
  return made;
}

TierSlots::Fill DeviceSlots::fill(uint32_t slot, LayerExpert source, Priority /*priority*/) {
  layer_ = source.layer;
  const uint32_t to = place(source.layer, slot);
  items_.push_back({source.expert, to, source.expert, whole_.empty() ? holds_[source.layer][to] : kNoExpert});
  return {source, slot};
}

void DeviceSlots::give_up(uint32_t layer, uint32_t slots) {
  std::vector<UploadItem> items;
  for (uint32_t slot = slots; slot < slots + pool_->borrowed(layer); ++slot) {
    uint32_t& held = holds_[layer][place(layer, slot)];
    if (held != kNoExpert) {
      items.push_back({held, place(layer, slot), held, held});
    }
    held = kNoExpert;
  }
  source_.lower({stream_, layer, matrices_[layer], true}, items);
}

void DeviceSlots::lower(uint32_t layer, std::span<ggml_tensor* const> whole, std::span<const uint32_t> experts) {
  std::vector<UploadItem> items;
  for (const uint32_t expert : experts) {
    items.push_back({expert, expert, expert, expert});
  }
  source_.lower({stream_, layer, whole, false}, items);
}

Status DeviceSlots::wait(const Fill& fill) {
  if (!begun_ && !cancelled_) {
    begun_ = true;
    outcome_ = bring();
    for (const UploadItem& item : items_) {
      uint32_t& held = holds_[layer_][item.place];
      held = item.done ? item.expert : held;
    }
  }
  const auto item = std::ranges::find(items_, fill.source.expert, &UploadItem::expert);
  Status status;
  if (!item->done) {
    status = begun_ ? outcome_ : fail(ErrorCode::kCancelled, "the expert was not brought to the device");
  }
  if (++waited_ == items_.size()) {
    items_.clear();
    waited_ = 0;
    begun_ = cancelled_ = false;
    outcome_ = {};
  }
  return status;
}

// What was prefetched comes last: what has to come from further is on its way meanwhile.
Status DeviceSlots::bring() {
  const auto prefetched = [this](const UploadItem& item) {
    return whole_.empty() && prefetch_ != nullptr && prefetch_->has(layer_, item.expert);
  };
  std::ranges::sort(items_, {}, [&](const UploadItem& item) { return std::pair(prefetched(item), item.expert); });
  const UploadTarget slots = {stream_, layer_, matrices_[layer_], true};
  if (!whole_.empty()) {
    source_.copy_on_device(slots, whole_, items_);
    return {};
  }
  const std::span<UploadItem> all = items_;
  const auto others = static_cast<size_t>(std::ranges::find_if(items_, prefetched) - items_.begin());
  Status status = source_.run(slots, all.first(others), decode_);
  if (status && others < all.size()) {
    const auto brought = prefetch_->take(all.subspan(others));
    if (!brought) {
      return propagate(brought.error());
    }
    source_.copy_on_device(slots, *brought, all.subspan(others));
    prefetch_->taken();
  }
  return status;
}

MatrixView DeviceSlots::view(uint32_t layer, uint32_t part) const {
  const ggml_tensor* matrix = matrices_[layer][part];
  return {static_cast<std::byte*>(matrix->data), 0, matrix->nb[2]};
}

}  // namespace hypura
