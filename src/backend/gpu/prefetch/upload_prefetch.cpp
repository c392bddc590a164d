#include "backend/gpu/prefetch/upload_prefetch.h"

#include <algorithm>

namespace hypura {

UploadPrefetch::UploadPrefetch(const Parts& parts)
    : it_(parts), disk_record_(static_cast<uint32_t>(parts.layers.size())) {
  const bool overlaps = parts.device.copy_stream() != parts.device.stream();
  landed_.reset(overlaps ? ggml_backend_event_new(parts.device.inner()) : nullptr);
}

// Some layers are never staged, since all of their experts have slots.
bool UploadPrefetch::copies(uint32_t layer) const {
  return it_.staging != nullptr && !it_.staging->matrices(layer).empty();
}

void UploadPrefetch::begin(uint32_t layer, std::span<const ExpertPrediction> predictions) {
  settle();
  experts_.clear();
  it_.store.expect(layer, predictions);
  layer_ = layer;
  absent_.clear();
  predicted_ = predictions.size();
  from_disk_.clear();
  landing_ = copies(layer) ? it_.staging->make_room(layer) : LayerStaging::Landing();
  for (size_t place = 0; place < predictions.size(); ++place) {
    const uint32_t expert = predictions[place].expert;
    if (it_.store.resident(layer, expert)) {
      continue;
    }
    if (!it_.below.resident(layer, expert)) {
      absent_.push_back({expert, place});
      // Where RAM has room for all, what was read in vain is there when it is chosen later.
      if (it_.below.holds_all() || disk_record_.pays(layer, place, predicted_)) {
        from_disk_.push_back(expert);
      }
    } else if (experts_.size() < landing_.count && it_.store.worth_reading(place)) {
      copy(expert, *it_.below.pin(layer, expert));
    }
  }
  if (landed_ != nullptr && !experts_.empty()) {
    ggml_backend_event_record(landed_.get(), it_.device.copy_stream());
  }
  it_.below.prefetch_for_above(layer, from_disk_);
}

void UploadPrefetch::copy(uint32_t expert, uint32_t slot) {
  const uint32_t place = landing_.first + static_cast<uint32_t>(experts_.size());
  for (uint32_t part = 0; part < landing_.matrices.size(); ++part) {
    const uint64_t slice = it_.layers[layer_].parts[part].slice_bytes;
    ggml_backend_tensor_set_async(it_.device.copy_stream(), landing_.matrices[part],
                                  it_.below.view(layer_, part).at(slot), place * landing_.matrices[part]->nb[2], slice);
    it_.stats.uploaded_bytes += slice;
  }
  pinned_.push_back({layer_, expert});
  experts_.push_back(expert);
  ++it_.stats.prefetches;
}

void UploadPrefetch::note_chosen(uint32_t layer, std::span<const uint32_t> experts) {
  for (const Absent& it : layer == layer_ ? std::span<const Absent>(absent_) : std::span<const Absent>()) {
    disk_record_.note(layer, it.place, predicted_, std::ranges::binary_search(experts, it.expert));
  }
  absent_.clear();
}

bool UploadPrefetch::has(uint32_t layer, uint32_t expert) const {
  return layer == layer_ && std::ranges::find(experts_, expert) != experts_.end();
}

Result<std::span<ggml_tensor* const>> UploadPrefetch::take(std::span<UploadItem> items) {
  if (landed_ != nullptr) {
    ggml_backend_event_wait(it_.device.stream(), landed_.get());
  }
  for (UploadItem& item : items) {
    const auto at = std::ranges::find(experts_, item.expert) - experts_.begin();
    item.from = landing_.first + static_cast<uint32_t>(at);
  }
  it_.stats.prefetches_used += items.size();
  it_.below.count_found(items.size());
  return landing_.matrices;
}

void UploadPrefetch::taken() {
  it_.staging->used(layer_);
}

// They have ended long ago as a rule: a layer was computed since.
void UploadPrefetch::settle() {
  if (pinned_.empty()) {
    return;
  }
  if (landed_ != nullptr) {
    ggml_backend_event_synchronize(landed_.get());
  } else {
    ggml_backend_synchronize(it_.device.stream());
  }
  for (const LayerExpert& it : pinned_) {
    it_.below.unpin(it.layer, it.expert);
  }
  pinned_.clear();
}

}  // namespace hypura
