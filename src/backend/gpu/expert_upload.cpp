#include "backend/gpu/expert_upload.h"

#include <algorithm>

#include "backend/gpu/device_memory.h"

namespace hypura {

// The tier below is not told what was chosen: it ranks its experts as the slots of the device do.
Status ExpertUpload::run(const UploadTarget& to, std::span<UploadItem> items, bool decode) {
  settle();
  if (items.empty()) {
    return {};
  }
  wanted_.clear();
  for (const UploadItem& item : items) {
    wanted_.push_back(item.expert);
  }
  stream_ = to.stream;
  below_.acquire(to.layer, {{}, 1, decode}, wanted_);
  for (const ExpertStore::Lease& lease : below_.leases().first(to.slots ? below_.hits() : 0)) {
    below_.raised(to.layer, lease.expert());  // which makes room for what comes down
  }
  take_back(to, items);
  for (size_t i = 0; i < below_.leases().size(); ++i) {
    if (!below_.requested(i)) {  // none of its slots is free before these copies are done
      synchronize();
      below_.landed();
      below_.release_misses(i);
    }
    if (Status status = below_.wait(i); !status) {
      return status;
    }
    const ExpertStore::Lease& lease = below_.leases()[i];
    const auto item = std::ranges::lower_bound(items, lease.expert(), {}, &UploadItem::expert);
    copy(to, lease, item->place);
    item->done = true;
    if (to.slots) {
      below_.raised(to.layer, lease.expert());
    }
  }
  return {};
}

void ExpertUpload::copy_on_device(const UploadTarget& to, std::span<ggml_tensor* const> whole,
                                  std::span<UploadItem> items) {
  const bool goes_down = std::ranges::any_of(items, [](const UploadItem& it) { return it.evicted != kNoExpert; });
  if (goes_down && stream_ != to.stream) {
    settle();
    stream_ = to.stream;
  }
  for (const UploadItem& item : items) {
    below_.raised(to.layer, item.expert);
  }
  take_back(to, items);
  for (UploadItem& item : items) {
    copy_one(to.stream, to.layer, whole, item.from, to.matrices, item.place);
    item.done = true;
  }
}

void ExpertUpload::lower(const UploadTarget& from, std::span<const UploadItem> items) {
  if (stream_ != from.stream) {
    settle();
    stream_ = from.stream;
  }
  take_back(from, items);
}

void ExpertUpload::copy_one(ggml_backend_t stream, uint32_t /*layer*/, std::span<ggml_tensor* const> from,
                            uint32_t from_place, std::span<ggml_tensor* const> to, uint32_t to_place) {
  for (size_t part = 0; part < from.size(); ++part) {
    copy_expert(stream, *from[part], from_place, *to[part], to_place);
  }
}

// In front of all that overwrites it.
void ExpertUpload::take_back(const UploadTarget& to, std::span<const UploadItem> items) {
  for (const UploadItem& item : items) {
    const auto slot = item.evicted == kNoExpert ? std::nullopt : below_.lower(to.layer, item.evicted);
    if (!slot) {
      continue;
    }
    for (uint32_t part = 0; part < to.matrices.size(); ++part) {
      const uint64_t slice = layers_[to.layer].parts[part].slice_bytes;
      ggml_backend_tensor_get_async(to.stream, to.matrices[part], below_.view(to.layer, part).at(*slot),
                                    item.place * to.matrices[part]->nb[2], slice);
      stats_.downloaded_bytes += slice;
    }
  }
}

void ExpertUpload::copy(const UploadTarget& to, const ExpertStore::Lease& lease, uint32_t place) {
  for (uint32_t part = 0; part < to.matrices.size(); ++part) {
    const uint64_t slice = layers_[to.layer].parts[part].slice_bytes;
    ggml_backend_tensor_set_async(to.stream, to.matrices[part], below_.view(to.layer, part).at(lease.slot()),
                                  place * to.matrices[part]->nb[2], slice);
    stats_.uploaded_bytes += slice;
  }
}

void ExpertUpload::synchronize() {
  const auto start = std::chrono::steady_clock::now();
  ggml_backend_synchronize(stream_);
  add_seconds(stats_.copy_wait_seconds, start);
}

void ExpertUpload::settle() {
  if (stream_ != nullptr) {
    synchronize();
    synchronized(stream_);
  }
}

void ExpertUpload::synchronized(ggml_backend_t stream) {
  if (stream_ == stream) {
    below_.finish();
    below_.landed();
    stream_ = nullptr;
  }
}

}  // namespace hypura
