#include "tiers/dense_store.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "residency/spread_order.h"
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
      place_(items.size()),
      pinned_data_(items.size()),
      wanted_(items.size()) {}

Result<std::unique_ptr<DenseStore>> DenseStore::create(std::span<const DenseItem> items, Reader& reader,
                                                       StoreStats& stats, const std::vector<bool>& pinned,
                                                       uint64_t ring_bytes, std::function<void()> before_blocking) {
  std::unique_ptr<DenseStore> store(new DenseStore(items, reader, stats, std::move(before_blocking)));
  if (Status status = store->read_pinned(pinned); !status) {
    return propagate(status.error());
  }
  store->first_ring_bytes_ = ring_bytes;
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
  for (const uint32_t item : in_spread_order(pinned)) {  // what goes first lies last: it leaves whole huge pages
    requests.push_back(read_into(place, extent(item)));
    place_[item] = place;
    pinned_data_[item] = requests.back().destination;
    place += place_capacity(extent(item).length);
  }
  return reader_.wait(reader_.submit(requests, Priority::kDemand));
}

std::vector<bool> DenseStore::streamed() const {
  std::vector<bool> all;
  for (const std::byte* data : pinned_data_) {
    all.push_back(data == nullptr);
  }
  return all;
}

std::vector<uint64_t> DenseStore::capacities() const {
  std::vector<uint64_t> all;
  for (const DenseItem& item : items_) {
    all.push_back(place_capacity(item.extent.length));
  }
  return all;
}

// For what is not pinned.
Status DenseStore::make_ring(uint64_t bytes) {
  const std::vector<bool> through = streamed();
  if (std::ranges::find(through, true) == through.end()) {
    return {};
  }
  auto memory = MemoryRegion::allocate(bytes);
  if (!memory) {
    return propagate(memory.error(), "the ring for streamed weights");
  }
  take_memory(std::move(*memory));
  ring_ = std::make_unique<WeightRing>(capacities(), bytes, through);
  fill_ring();
  return {};
}

// For the ring, in the place of what it has.
void DenseStore::take_memory(MemoryRegion memory) {
  if (memory_.size() > 0) {
    reader_.forget_memory(memory_.span());
  }
  memory_ = std::move(memory);
  if (memory_.size() > 0) {
    reader_.register_memory(memory_.span());
  }
}

void DenseStore::end_ring() {
  end_reads();
  ring_.reset();
  take_memory({});
}

void DenseStore::unpin(uint32_t item) {
  pinned_data_[item] = nullptr;
  pinned_.give_back(static_cast<uint64_t>(place_[item] - pinned_.data()), place_capacity(extent(item).length));
}

Status DenseStore::keep(const std::vector<bool>& pinned, uint64_t ring_bytes) {
  const bool other_ring = ring_bytes > 0 && ring_bytes != this->ring_bytes();
  MemoryRegion memory;
  if (other_ring) {  // before anything is given up
    auto made = MemoryRegion::allocate(ring_bytes);
    if (!made) {
      return propagate(made.error(), "the ring for streamed weights");
    }
    memory = std::move(*made);
  }
  end_reads();
  for (uint32_t item = 0; item < items_.size(); ++item) {
    wanted_[item] = pinned[item] && is_streamed(item);
    if (!pinned[item] && !is_streamed(item)) {
      unpin(item);
    }
  }
  if (ring_ == nullptr && !other_ring) {
    return {};
  }
  if (other_ring) {
    take_memory(std::move(memory));
  }
  const std::vector<bool> through = streamed();
  if (ring_ == nullptr) {
    ring_ = std::make_unique<WeightRing>(capacities(), ring_bytes, through);
  } else {
    ring_->change(other_ring ? ring_bytes : ring_->capacity(), through);
  }
  fill_ring();
  return {};
}

Status DenseStore::take_room(uint64_t bytes) {
  std::ranges::fill(place_, nullptr);
  std::ranges::fill(pinned_data_, nullptr);
  wanted_.assign(items_.size(), false);
  pinned_ = {};  // before there is memory for other purposes
  room_ = 0;
  if (ring_ == nullptr) {  // everything was pinned
    if (Status status = make_ring(first_ring_bytes_); !status) {
      return status;
    }
  } else {
    end_reads();
    ring_->change(ring_->capacity(), streamed());
    fill_ring();
  }
  if (bytes == 0) {
    return {};
  }
  auto memory = MemoryRegion::allocate(bytes);
  if (!memory) {
    return propagate(memory.error(), "the weights that stay");
  }
  pinned_ = std::move(*memory);
  room_ = bytes;
  return {};
}

// And, behind `items`, what is pinned already.
std::vector<bool> DenseStore::first_that_room_holds(std::span<const uint32_t> items) const {
  std::vector<bool> chosen(items_.size());
  uint64_t left = room_;
  const auto choose = [&](uint32_t item) {
    const uint64_t size = place_capacity(extent(item).length);
    if (!chosen[item] && size <= left) {
      chosen[item] = true;
      left -= size;
    }
  };
  std::ranges::for_each(items, choose);
  for (uint32_t item = 0; item < items_.size(); ++item) {
    if (!is_streamed(item)) {
      choose(item);
    }
  }
  return chosen;
}

// In the gaps between those that have one. For what finds none there is too little in one piece.
void DenseStore::find_places(const std::vector<bool>& chosen) {
  std::map<std::byte*, uint64_t> taken = {{pinned_.data() + room_, 0}};
  for (uint32_t item = 0; item < items_.size(); ++item) {
    if (place_[item] != nullptr) {
      taken[place_[item]] = place_capacity(extent(item).length);
    }
  }
  for (uint32_t item = 0; item < items_.size(); ++item) {
    if (!chosen[item] || place_[item] != nullptr) {
      continue;
    }
    const uint64_t size = place_capacity(extent(item).length);
    std::byte* gap = pinned_.data();
    for (const auto& [begin, length] : taken) {
      if (static_cast<uint64_t>(begin - gap) >= size) {
        place_[item] = gap;
        break;
      }
      gap = begin + length;
    }
    if (place_[item] != nullptr) {
      taken[gap] = size;
    }
  }
}

void DenseStore::keep_as_used(std::span<const uint32_t> items) {
  if (ring_ == nullptr) {
    return;  // everything is pinned
  }
  end_reads();
  const std::vector<bool> chosen = first_that_room_holds(items);
  for (uint32_t item = 0; item < items_.size(); ++item) {
    if (!chosen[item] && place_[item] != nullptr) {
      if (!is_streamed(item)) {
        unpin(item);
      }
      place_[item] = nullptr;
    }
  }
  find_places(chosen);
  std::vector<bool> through(items_.size());
  for (const uint32_t item : items) {
    through[item] = is_streamed(item);
  }
  for (uint32_t item = 0; item < items_.size(); ++item) {
    wanted_[item] = is_streamed(item) && place_[item] != nullptr;
  }
  ring_->change(ring_->capacity(), through);
  fill_ring();
}

// It lies in the ring, whole.
void DenseStore::pin_from_ring(uint32_t item) {
  const std::byte* data = memory_.data() + place_of(item)->offset + data_offset(extent(item));
  pinned_data_[item] = place_[item] + data_offset(extent(item));
  std::memcpy(pinned_data_[item], data, extent(item).length);
  wanted_[item] = false;
}

void DenseStore::fill_ring() {
  if (ring_ == nullptr) {
    return;
  }
  while (const auto fetch = ring_->next_fetch()) {
    const ReadRequest read = read_into(memory_.data() + fetch->offset, extent(fetch->item));
    places_.push_back({fetch->item, fetch->offset, reader_.submit({&read, 1}, Priority::kPrefetch)});
  }
}

void DenseStore::restart_ring_at(uint32_t item) {
  end_reads();
  in_use_.clear();
  ring_->restart_at(item);
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
    ring_->retire(item);
    if (wanted_[item]) {
      pin_from_ring(item);
      ring_->leave_out(item);
    }
    places_.erase(places_.begin() + (place_of(item) - places_.data()));
  }
  in_use_.clear();
  if (ring_ != nullptr && ring_->empty() && std::ranges::find(pinned_data_, nullptr) == pinned_data_.end()) {
    end_ring();
  }
  fill_ring();
}

}  // namespace hypura
