#include "residency/weight_ring.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

namespace hypura {

WeightRing::WeightRing(std::vector<uint64_t> sizes, uint64_t capacity, const std::vector<bool>& streamed)
    : sizes_(std::move(sizes)), capacity_(capacity), order_(sizes_.size()), seen_(sizes_.size()) {
  std::iota(order_.begin(), order_.end(), 0U);
  std::erase_if(order_, [&](uint32_t item) { return !streamed.empty() && !streamed[item]; });
  assert(!order_.empty());
  assert(std::ranges::all_of(order_, [this](uint32_t item) { return sizes_[item] <= capacity_; }));
}

void WeightRing::change(uint64_t capacity, const std::vector<bool>& streamed) {
  capacity_ = capacity;
  held_.clear();
  std::vector<uint32_t> order;
  for (const uint32_t item : order_) {
    if (streamed[item]) {
      order.push_back(item);
    }
  }
  // What is new comes behind what lies before it in the file.
  for (uint32_t item = 0; item < streamed.size(); ++item) {
    if (streamed[item] && std::ranges::find(order, item) == order.end()) {
      const auto after = std::ranges::find_if(order, [item](uint32_t other) { return other > item; });
      order.insert(after, item);
    }
  }
  order_ = std::move(order);
  assert(std::ranges::all_of(order_, [this](uint32_t item) { return sizes_[item] <= capacity_; }));
  next_ = 0;
  if (!used_.empty()) {
    const auto next = std::ranges::find_if(order_, [this](uint32_t item) { return item > used_.back(); });
    next_ = next == order_.end() ? 0 : static_cast<size_t>(next - order_.begin());
    part_ = true;
  }
}

void WeightRing::leave_out(uint32_t item) {
  const auto it = std::ranges::find(order_, item);
  if (it == order_.end()) {
    return;
  }
  const auto at = static_cast<size_t>(it - order_.begin());
  order_.erase(it);
  next_ -= at < next_ ? 1 : 0;
  next_ = next_ < order_.size() ? next_ : 0;
  std::erase(used_, item);
  seen_[item] = false;
  part_ = true;
}

std::optional<uint64_t> WeightRing::place_for(uint64_t size) const {
  if (held_.empty()) {
    return 0;
  }
  const uint64_t tail = held_.front().offset;
  const uint64_t head = held_.back().offset + held_.back().size;
  if (head > tail) {  // free: [head, capacity) and [0, tail)
    if (head + size <= capacity_) {
      return head;
    }
    return size <= tail ? std::optional<uint64_t>(0) : std::nullopt;
  }
  return head + size <= tail ? std::optional<uint64_t>(head) : std::nullopt;  // free: [head, tail)
}

std::optional<WeightRing::Fetch> WeightRing::next_fetch() {
  if (order_.empty()) {
    return std::nullopt;
  }
  const uint32_t item = order_[next_];
  if (std::any_of(held_.begin(), held_.end(), [&](const Held& it) { return it.item == item; })) {
    return std::nullopt;  // all are held, or the order has just changed: it is fetched again after its use
  }
  const std::optional<uint64_t> offset = place_for(sizes_[item]);
  if (!offset) {
    return std::nullopt;
  }
  held_.push_back({item, *offset, sizes_[item], false});
  next_ = (next_ + 1) % order_.size();
  return Fetch{item, *offset};
}

bool WeightRing::holds(uint32_t item) const {
  return std::any_of(held_.begin(), held_.end(), [&](const Held& it) { return it.item == item && !it.retired; });
}

void WeightRing::restart_at(uint32_t item) {
  held_.clear();
  const auto it = std::find(order_.begin(), order_.end(), item);
  next_ = static_cast<size_t>(it - order_.begin());
  if (it == order_.end()) {
    order_.push_back(item);
  }
}

void WeightRing::retire(uint32_t item) {
  const auto held = std::find_if(held_.begin(), held_.end(), [&](const Held& it) { return it.item == item; });
  assert(held != held_.end() && !held->retired);
  held->retired = true;
  while (!held_.empty() && held_.front().retired) {
    held_.pop_front();
  }
  note_use(item);
}

void WeightRing::note_use(uint32_t item) {
  if (seen_[item]) {  // the next pass has begun
    if (!std::exchange(part_, false) && used_ != order_) {
      // What is held was fetched by the old order. It stays: a mismatch shows as a use out of turn, which restarts.
      const auto upcoming = std::find(used_.begin(), used_.end(), order_[next_]);
      next_ = upcoming == used_.end() ? 0 : static_cast<size_t>(upcoming - used_.begin());
      order_ = used_;
    }
    used_.clear();
    std::fill(seen_.begin(), seen_.end(), false);
  }
  used_.push_back(item);
  seen_[item] = true;
}

}  // namespace hypura
