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
  take_back_beside(to, items);
  Status status = copy_all(to, items);
  wait_for_all();
  return status;
}

Status ExpertUpload::copy_all(const UploadTarget& to, std::span<UploadItem> items) {
  for (size_t i = 0; i < below_.leases().size(); ++i) {
    if (!below_.requested(i)) {  // none of its slots is free before these copies are done
      wait_for_all();
      synchronize();
      below_.landed();
      below_.release_misses(i);
    }
    if (Status status = below_.wait(i); !status) {
      return status;
    }
    const ExpertStore::Lease& lease = below_.leases()[i];
    const auto item = std::ranges::lower_bound(items, lease.expert(), {}, &UploadItem::expert);
    wait_for(item->place);
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
  take_back(to, items, to.stream);
  for (UploadItem& item : items) {
    copy_one(to.stream, to.layer, whole, item.from, to.matrices, item.place);
    item.done = true;
  }
}

// Where nothing has to be copied, nobody has to wait for it.
void ExpertUpload::lower(const UploadTarget& from, std::span<const UploadItem> items) {
  const bool copies =
      std::ranges::any_of(items, [&](const UploadItem& it) { return !below_.resident(from.layer, it.evicted); });
  if (copies && stream_ != from.stream) {
    settle();
    stream_ = from.stream;
  }
  take_back(from, items, from.stream);
}

void ExpertUpload::copy_one(ggml_backend_t stream, uint32_t /*layer*/, std::span<ggml_tensor* const> from,
                            uint32_t from_place, std::span<ggml_tensor* const> to, uint32_t to_place) {
  for (size_t part = 0; part < from.size(); ++part) {
    copy_expert(stream, *from[part], from_place, *to[part], to_place);
  }
}

void ExpertUpload::take_back(const UploadTarget& to, std::span<const UploadItem> items, ggml_backend_t stream) {
  going_down_.clear();
  for (const UploadItem& item : items) {
    const auto slot = item.evicted == kNoExpert ? std::nullopt : below_.lower(to.layer, item.evicted);
    if (!slot) {
      continue;
    }
    const bool beside = stream != to.stream;
    if (beside && going_down_.empty()) {  // behind what filled these places
      ggml_backend_event_t filled = next_event();
      ggml_backend_event_record(filled, to.stream);
      ggml_backend_event_wait(stream, filled);
      going_down_.push_back({kNoExpert, filled});
    }
    for (uint32_t part = 0; part < to.matrices.size(); ++part) {
      const uint64_t slice = layers_[to.layer].parts[part].slice_bytes;
      ggml_backend_tensor_get_async(stream, to.matrices[part], below_.view(to.layer, part).at(*slot),
                                    item.place * to.matrices[part]->nb[2], slice);
      stats_.downloaded_bytes += slice;
    }
    if (beside) {
      going_down_.push_back({item.place, next_event()});
      ggml_backend_event_record(going_down_.back().landed, stream);
    }
  }
}

// On the stream of copies: what overwrites a place waits for it.
void ExpertUpload::take_back_beside(const UploadTarget& to, std::span<const UploadItem> items) {
  take_back(to, items, to.slots ? device_.copy_stream() : to.stream);
}

ggml_backend_event_t ExpertUpload::next_event() {
  if (events_.size() == going_down_.size()) {
    events_.emplace_back(ggml_backend_event_new(device_.inner()));
  }
  return events_[going_down_.size()].get();
}

void ExpertUpload::wait_for(uint32_t place) {
  const auto it = std::ranges::find(going_down_, place, &GoingDown::place);
  if (it != going_down_.end()) {
    ggml_backend_event_wait(stream_, it->landed);
  }
}

// Whoever synchronises the stream then knows that all is down.
void ExpertUpload::wait_for_all() {
  if (!going_down_.empty()) {
    ggml_backend_event_wait(stream_, going_down_.back().landed);
    going_down_.clear();
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
