#include "tiers/dense_store.h"

#include <algorithm>
#include <utility>

#include "support/fail.h"
#include "support/memory/pages_ahead.h"
#include "tiers/direct_place.h"

namespace hypura {

DenseStore::DenseStore(std::span<const DenseItem> items, Reader& reader, StoreStats& stats,
                       std::function<void()> before_blocking)
    : items_(items),
      reader_(reader),
      stats_(stats),
      before_blocking_(std::move(before_blocking)),
      pinned_data_(items.size()),
      ring_item_(items.size()) {}

Result<std::unique_ptr<DenseStore>> DenseStore::create(std::span<const DenseItem> items, Reader& reader,
                                                       StoreStats& stats, const std::vector<bool>& pinned,
                                                       uint64_t ring_bytes, std::function<void()> before_blocking) {
  std::unique_ptr<DenseStore> store(new DenseStore(items, reader, stats, std::move(before_blocking)));
  if (Status status = store->read_pinned(pinned); !status) {
    return propagate(status.error());
  }
  if (Status status = store->make_ring(ring_bytes); !status) {
    return propagate(status.error());
  }
  return store;
}

DenseStore::~DenseStore() {
  end_reads();
}

Status DenseStore::read_pinned(const std::vector<bool>& pinned) {
  uint64_t total = 0;
  for (uint32_t item = 0; item < items_.size(); ++item) {
    total += pinned[item] ? place_capacity(extent(item).length) : 0;
  }
  if (total == 0) {
    return {};
  }
  auto memory = MemoryRegion::allocate(total);
  if (!memory) {
    return propagate(memory.error(), "the pinned weights");
  }
  pinned_ = std::move(*memory);
  const PagesAhead ahead(pinned_.span());  // while they are read
  std::vector<ReadRequest> requests;
  std::byte* place = pinned_.data();
  for (uint32_t item = 0; item < items_.size(); ++item) {
    if (pinned[item]) {
      requests.push_back(read_into(place, extent(item)));
      pinned_data_[item] = requests.back().destination;
      place += place_capacity(extent(item).length);
    }
  }
  return reader_.wait(reader_.submit(requests, Priority::kDemand));
}

// For what is not pinned.
Status DenseStore::make_ring(uint64_t bytes) {
  std::vector<uint64_t> capacities;
  for (uint32_t item = 0; item < items_.size(); ++item) {
    if (pinned_data_[item] == nullptr) {
      ring_item_[item] = static_cast<uint32_t>(capacities.size());
      item_of_.push_back(item);
      capacities.push_back(place_capacity(extent(item).length));
    }
  }
  if (capacities.empty()) {
    return {};
  }
  auto memory = MemoryRegion::allocate(bytes);
  if (!memory) {
    return propagate(memory.error(), "the ring for streamed weights");
  }
  memory_ = std::move(*memory);
  ring_ = std::make_unique<WeightRing>(std::move(capacities), bytes);
  reader_.register_memory(memory_.span());
  fill_ring();
  return {};
}

void DenseStore::fill_ring() {
  if (ring_ == nullptr) {
    return;
  }
  while (const auto fetch = ring_->next_fetch()) {
    const uint32_t item = item_of_[fetch->item];
    const ReadRequest read = read_into(memory_.data() + fetch->offset, extent(item));
    places_.push_back({item, fetch->offset, reader_.submit({&read, 1}, Priority::kPrefetch)});
  }
}

void DenseStore::restart_ring_at(uint32_t item) {
  end_reads();
  in_use_.clear();
  ring_->restart_at(ring_item_[item]);
}

void DenseStore::end_reads() {
  for (const Place& place : places_) {
    if (place.read != 0) {
      reader_.cancel(place.read);
    }
  }
  for (const Place& place : places_) {
    if (place.read != 0) {
      static_cast<void>(reader_.wait(place.read));  // nobody asked for these bytes
    }
  }
  places_.clear();
}

DenseStore::Place* DenseStore::place_of(uint32_t item) {
  const auto it = std::ranges::find(places_, item, &Place::item);
  return it == places_.end() ? nullptr : &*it;
}

bool DenseStore::ready(uint32_t item) {
  if (pinned_data_[item] != nullptr) {
    return true;
  }
  const Place* place = place_of(item);
  return place != nullptr && (place->read == 0 || reader_.finished(place->read));
}

Result<std::byte*> DenseStore::acquire(uint32_t item) {
  if (pinned_data_[item] != nullptr) {
    return pinned_data_[item];
  }
  Place* place = place_of(item);
  if (place == nullptr) {
    restart_ring_at(item);
    fill_ring();
    place = place_of(item);
  }
  if (place->read != 0) {
    const auto start = std::chrono::steady_clock::now();
    if (!reader_.finished(place->read)) {
      before_blocking_();
    }
    const Status status = reader_.wait(std::exchange(place->read, 0));
    add_seconds(stats_.io_wait_seconds, start);
    if (!status) {
      restart_ring_at(item);
      return propagate(status.error(), items_[item].tensor->name);
    }
  }
  in_use_.push_back(item);
  return memory_.data() + place->offset + data_offset(extent(item));
}

void DenseStore::release() {
  for (const uint32_t item : in_use_) {
    ring_->retire(ring_item_[item]);
    places_.erase(places_.begin() + (place_of(item) - places_.data()));
  }
  in_use_.clear();
  fill_ring();
}

}  // namespace hypura
