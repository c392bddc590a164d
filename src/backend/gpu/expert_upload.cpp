#include "backend/gpu/expert_upload.h"

#include <algorithm>

namespace hypura {

// The tier below is told only of what is asked of it, so that it keeps what the device has no room for.
Status ExpertUpload::run(ggml_backend_t stream, uint32_t layer, std::span<UploadItem> items,
                         std::span<ggml_tensor* const> matrices, bool decode) {
  settle();
  if (items.empty()) {
    return {};
  }
  wanted_.clear();
  chosen_.clear();
  for (const UploadItem& item : items) {
    wanted_.push_back(item.expert);
    chosen_.push_back(static_cast<uint16_t>(item.expert));
  }
  stream_ = stream;
  below_.acquire(layer, {chosen_, static_cast<uint32_t>(chosen_.size()), decode}, wanted_);
  for (size_t i = 0; i < below_.leases().size(); ++i) {
    if (!below_.requested(i)) {  // none of its slots is free before these copies are done
      ggml_backend_synchronize(stream_);
      below_.release_misses(i);
    }
    if (Status status = below_.wait(i); !status) {
      return status;
    }
    const ExpertStore::Lease& lease = below_.leases()[i];
    const auto item = std::ranges::lower_bound(items, lease.expert(), {}, &UploadItem::expert);
    copy(lease, layer, item->place, matrices);
    item->done = true;
  }
  return {};
}

void ExpertUpload::copy(const ExpertStore::Lease& lease, uint32_t layer, uint32_t place,
                        std::span<ggml_tensor* const> matrices) {
  uint64_t bytes = bytes_.load(std::memory_order_relaxed);
  for (uint32_t part = 0; part < matrices.size(); ++part) {
    const uint64_t slice = layers_[layer].parts[part].slice_bytes;
    ggml_backend_tensor_set_async(stream_, matrices[part], below_.view(layer, part).at(lease.slot()),
                                  place * matrices[part]->nb[2], slice);
    bytes += slice;
  }
  bytes_.store(bytes, std::memory_order_relaxed);
}

void ExpertUpload::settle() {
  if (stream_ != nullptr) {
    ggml_backend_synchronize(stream_);
    synchronized(stream_);
  }
}

void ExpertUpload::synchronized(ggml_backend_t stream) {
  if (stream_ == stream) {
    below_.finish();
    stream_ = nullptr;
  }
}

}  // namespace hypura
