#include "tiers/expert_store.h"

#include <algorithm>
#include <utility>

#include "residency/hot_set.h"
#include "residency/replay/visits.h"
#include "support/fail.h"
#include "tiers/ram_slots.h"

namespace hypura {

namespace {

uint32_t most_experts(std::span<const ExpertLayer> layers) {
  uint32_t most = 0;
  for (const ExpertLayer& layer : layers) {
    most = std::max(most, layer.experts);
  }
  return most;
}

// Takes the fill of an expert out of `fills`.
std::optional<TierSlots::Fill> take(std::vector<TierSlots::Fill>& fills, LayerExpert wanted) {
  const auto it = std::ranges::find(fills, wanted, &TierSlots::Fill::source);
  if (it == fills.end()) {
    return std::nullopt;
  }
  const TierSlots::Fill fill = *it;
  fills.erase(it);
  return fill;
}

}  // namespace

ExpertStore::ExpertStore(std::span<const ExpertLayer> layers, StoreStats& stats, const Sizes& sizes,
                         std::unique_ptr<TierSlots> slots, std::function<void()> before_blocking,
                         const ExpertStore* below)
    : layers_(layers),
      stats_(stats),
      cache_({static_cast<uint32_t>(layers.size()), most_experts(layers), sizes.slots, sizes.spare, sizes.quotas,
              sizes.own_slots},
             below != nullptr ? below->cache_.rankings() : nullptr),
      slots_(std::move(slots)),
      before_blocking_(std::move(before_blocking)),
      record_(static_cast<uint32_t>(layers.size())) {}

Result<std::unique_ptr<ExpertStore>> ExpertStore::create(std::span<const ExpertLayer> layers, Reader& reader,
                                                         StoreStats& stats, const Sizes& sizes,
                                                         std::function<void()> before_blocking) {
  auto slots = RamSlots::create(layers, reader, sizes.slots);
  if (!slots) {
    return propagate(slots.error());
  }
  return over(layers, stats, sizes, std::move(*slots), std::move(before_blocking));
}

std::unique_ptr<ExpertStore> ExpertStore::over(std::span<const ExpertLayer> layers, StoreStats& stats,
                                               const Sizes& sizes, std::unique_ptr<TierSlots> slots,
                                               std::function<void()> before_blocking, const ExpertStore* below) {
  return std::unique_ptr<ExpertStore>(
      new ExpertStore(layers, stats, sizes, std::move(slots), std::move(before_blocking), below));
}

uint64_t ExpertStore::bytes_for(std::span<const ExpertLayer> layers) {
  return ExpertCache::bytes_for(static_cast<uint32_t>(layers.size()), most_experts(layers));
}

ExpertStore::~ExpertStore() {
  stop_warming();
  finish();
  landed();
  cancel_prefetches();
  end_all_unwanted();
}

void ExpertStore::end_all_unwanted() {
  for (const TierSlots::Fill& fill : unwanted_) {
    slots_->cancel(fill);
  }
  while (reclaim(true)) {
  }
}

void ExpertStore::acquire(uint32_t layer, const PassChoice& choice, std::span<const uint32_t> experts) {
  stop_warming();
  layer_ = layer;
  decode_ = choice.decode;
  cache_.begin(layer, choice);
  missing_.clear();
  for (const uint32_t expert : experts) {
    if (const auto slot = cache_.lookup(layer, expert)) {
      Lease& lease = leases_.emplace_back();
      lease.expert_ = expert;
      lease.state_ = Lease::State::kPinned;
      lease.fill_.slot = *slot;
    } else {
      missing_.push_back(expert);
    }
  }
  hits_ = requested_ = arrived_ = released_ = leases_.size();
  for (const uint32_t expert : missing_) {
    leases_.emplace_back().expert_ = expert;
  }
  (decode_ ? stats_.decode_lookups : stats_.prefill_lookups) += leases_.size();
  (decode_ ? stats_.decode_hits : stats_.prefill_hits) += hits_;
  claim_prefetches();
  request_misses();
  score_predictions(experts);
}

// Misses that are on their way come first, in the order of their reads. What else is on its way is not wanted.
void ExpertStore::claim_prefetches() {
  const std::vector<TierSlots::Fill> began = prefetching_;
  for (const TierSlots::Fill& fill : began) {
    claim_for(fill.source);
  }
  for (const TierSlots::Fill& fill : std::vector<TierSlots::Fill>(unwanted_)) {
    claim_for(fill.source);
  }
  stats_.prefetches_used += decode_ ? requested_ - hits_ : 0;
  cancel_prefetches();
}

// Makes what is on its way the lease's that asks for it, if one does.
void ExpertStore::claim_for(LayerExpert on_its_way) {
  const auto lease = std::find_if(leases_.begin() + static_cast<std::ptrdiff_t>(requested_), leases_.end(),
                                  [&](const Lease& it) { return it.expert_ == on_its_way.expert; });
  if (on_its_way.layer != layer_ || lease == leases_.end()) {
    return;
  }
  if (const auto fill = claim(on_its_way)) {
    lease->state_ = Lease::State::kPending;
    lease->fill_ = *fill;
    std::swap(*lease, leases_[requested_++]);
  }
}

// The fill of an expert that is asked for, from now on that of a lease. One that was cancelled is waited for: then the
// expert is absent, and can be requested again.
std::optional<TierSlots::Fill> ExpertStore::claim(LayerExpert wanted) {
  auto fill = take(prefetching_, wanted);
  if (!fill) {
    fill = take(unwanted_, wanted);
    if (fill && !cache_.holds_all()) {
      end_unwanted(*fill);
      return std::nullopt;
    }
  }
  if (fill) {
    slots_->promote(*fill);  // now, or all but the one that is waited for stay behind what nobody asks for
  }
  return fill;
}

// Requests all matrices of each missing expert together, as long as slots are free.
void ExpertStore::request_misses() {
  for (; requested_ < leases_.size(); ++requested_) {
    Lease& lease = leases_[requested_];
    const auto slot = slot_for(lease.expert_);
    if (!slot) {
      return;
    }
    lease.state_ = Lease::State::kPending;
    lease.fill_ = slots_->fill(*slot, {layer_, lease.expert_}, Priority::kDemand);
  }
}

// What is not wanted any more holds slots until it has ended; it is waited for only where nothing of the layer is under
// way that would free one.
std::optional<uint32_t> ExpertStore::slot_for(uint32_t expert) {
  auto slot = cache_.take(layer_, expert);
  while (!slot && reclaim(requested_ == released_)) {
    slot = cache_.take(layer_, expert);
  }
  return slot;
}

// The layer that was predicted for has chosen.
void ExpertStore::score_predictions(std::span<const uint32_t> experts) {
  if (decode_ && predicted_layer_ == layer_ && !predictions_.empty()) {
    for (size_t i = 0; i < predictions_.size(); ++i) {
      const bool correct = std::ranges::binary_search(experts, predictions_[i].expert);
      stats_.predictions_correct += correct ? 1 : 0;
      if (predicted_absent_[i]) {
        record_.note(layer_, i, predictions_.size(), correct);
      }
    }
    stats_.predictions += predictions_.size();
    stats_.predictable += experts.size();
  }
  predictions_.clear();
  streaming_ = false;
}

bool ExpertStore::ready(size_t lease) {
  const Lease& it = leases_[lease];
  return it.state_ == Lease::State::kPinned || (it.state_ == Lease::State::kPending && slots_->ended(it.fill_));
}

Status ExpertStore::wait(size_t lease) {
  Lease& it = leases_[lease];
  if (it.state_ == Lease::State::kPinned) {
    return {};
  }
  const auto start = std::chrono::steady_clock::now();
  if (!slots_->ended(it.fill_)) {
    before_blocking_();
  }
  const Status read = slots_->wait(it.fill_);
  add_seconds(stats_.io_wait_seconds, start);
  if (!admit(read, it.fill_)) {
    it.state_ = Lease::State::kEnded;
    return propagate(read.error(), fmt::format("expert {} of layer {}", it.expert_, layers_[layer_].layer));
  }
  it.state_ = Lease::State::kPinned;
  if (++arrived_ == leases_.size() && !streaming_) {
    start_prefetch();
  }
  return {};
}

void ExpertStore::release_misses(size_t end) {
  for (; released_ < end; ++released_) {
    cache_.release(layer_, leases_[released_].expert_);
    leases_[released_].state_ = Lease::State::kEnded;
  }
  request_misses();
  go_on_streaming();
}

void ExpertStore::finish() {
  for (const Lease& lease : leases_) {
    if (lease.state_ == Lease::State::kPending) {
      slots_->cancel(lease.fill_);
    }
  }
  for (const Lease& lease : leases_) {
    if (lease.state_ == Lease::State::kPending) {
      static_cast<void>(slots_->wait(lease.fill_));  // another failure is the one that is reported
      cache_.abandon(layer_, lease.expert_);
    } else if (lease.state_ == Lease::State::kPinned) {
      cache_.release(layer_, lease.expert_);
    }
  }
  leases_.clear();
  hits_ = requested_ = arrived_ = released_ = 0;
}

void ExpertStore::prefetch(uint32_t layer, std::span<const ExpertPrediction> predictions) {
  expect(layer, predictions);
  if (arrived_ == leases_.size()) {
    start_prefetch();
  }
}

void ExpertStore::stream_ahead(uint32_t layer, std::span<const ExpertPrediction> predictions) {
  stop_warming();
  expect(layer, predictions);
  streaming_ = true;
  go_on_streaming();
}

void ExpertStore::expect(uint32_t layer, std::span<const ExpertPrediction> predictions) {
  streaming_ = false;
  streamed_ = 0;
  predicted_layer_ = layer;
  predictions_.assign(predictions.begin(), predictions.end());
  predicted_absent_.clear();
  for (const ExpertPrediction& prediction : predictions) {
    predicted_absent_.push_back(cache_.absent(layer, prediction.expert));
  }
}

// All that was asked for is there, so that nothing that is wanted waits for what may be.
void ExpertStore::start_prefetch() {
  for (size_t i = 0; i < predictions_.size(); ++i) {
    if (worth_reading(i) && !prefetch_one(predicted_layer_, predictions_[i].expert, Priority::kPrefetch)) {
      return;
    }
  }
}

bool ExpertStore::worth_reading(size_t prediction) const {
  return !decode_ || cache_.holds_all() || record_.pays(predicted_layer_, prediction, predictions_.size());
}

// Behind what is under way, in the order of the requests.
void ExpertStore::go_on_streaming() {
  while (streaming_ && requested_ == leases_.size() && streamed_ < predictions_.size() &&
         prefetch_one(predicted_layer_, predictions_[streamed_].expert, Priority::kDemand)) {
    ++streamed_;
  }
}

// False when no slot is left for it, nor for others.
bool ExpertStore::prefetch_one(uint32_t layer, uint32_t expert, Priority priority) {
  if (cache_.free_slots() <= kReserve) {
    return false;
  }
  if (cache_.absent(layer, expert)) {
    prefetching_.push_back(slots_->fill(*cache_.take(layer, expert), {layer, expert}, priority));
    stats_.prefetches += decode_ ? 1 : 0;
  }
  return true;
}

void ExpertStore::prefetch_for_above(uint32_t layer, std::span<const uint32_t> experts) {
  stop_warming();
  cancel_prefetches();
  decode_ = true;
  for (const uint32_t expert : experts) {
    if (!prefetch_one(layer, expert, Priority::kPrefetch)) {
      return;
    }
  }
}

void ExpertStore::count_found(uint64_t experts) {
  stats_.decode_lookups += experts;
  stats_.decode_hits += experts;
}

void ExpertStore::raised(uint32_t layer, uint32_t expert) {
  if (cache_.resident(layer, expert)) {
    cache_.set_above(layer, expert, true);
  }
}

std::optional<uint32_t> ExpertStore::lower(uint32_t layer, uint32_t expert) {
  if (cache_.resident(layer, expert)) {
    cache_.set_above(layer, expert, false);
    return std::nullopt;
  }
  const auto slot = cache_.take_back(layer, expert);
  if (slot) {
    lowered_.push_back({layer, expert});
    ++stats_.lowered;
  }
  return slot;
}

void ExpertStore::landed() {
  for (const LayerExpert& it : lowered_) {
    cache_.commit(it.layer, it.expert);
    cache_.release(it.layer, it.expert);
  }
  lowered_.clear();
}

void ExpertStore::learn(const RoutingTrace& trace) {
  const Visits visits(trace);
  for (const Visit& visit : visits.all()) {
    cache_.begin(visit.layer, visit.choice);
  }
}

void ExpertStore::warm_with(std::span<const LayerExpert> hot) {
  hot_.assign(hot.begin(), hot.end());
  warming_ = true;
}

void ExpertStore::recall(const RoutingTrace& trace) {
  learn(trace);
  warm_with(hot_set(trace, quotas()));
}

std::vector<uint32_t> ExpertStore::quotas() const {
  std::vector<uint32_t> quotas;
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    quotas.push_back(cache_.quota(layer));
  }
  return quotas;
}

bool ExpertStore::warm() {
  if (!warming_ || !admit_warmed()) {
    hot_.clear();
  }
  while (!hot_.empty() && (prefetching_.empty() || warming_bytes_ < kMostWarmBytes)) {
    const LayerExpert next = hot_.front();
    if (!cache_.absent(next.layer, next.expert)) {  // the tier above was given it
      hot_.pop_front();
      continue;
    }
    const auto slot = cache_.take(next.layer, next.expert);
    if (!slot && !prefetching_.empty()) {
      break;  // those under way make room when they are admitted
    }
    if (!slot) {
      hot_.clear();
      break;
    }
    prefetching_.push_back(slots_->fill(*slot, next, Priority::kPrefetch));
    warming_bytes_ += layers_[next.layer].expert_bytes();
    hot_.pop_front();
  }
  return warming_ && !prefetching_.empty();
}

// No read is made twice, and none is waited for: what is under way is from now on as if it had been predicted.
void ExpertStore::stop_warming() {
  if (warming_) {
    admit_warmed();
    hot_.clear();
    warming_ = false;
  }
}

// Admits what has arrived. False when something could not be read.
bool ExpertStore::admit_warmed() {
  bool good = true;
  std::erase_if(prefetching_, [&](const TierSlots::Fill& fill) {
    if (!slots_->ended(fill)) {
      return false;
    }
    const uint64_t bytes = layers_[fill.source.layer].expert_bytes();
    warming_bytes_ -= bytes;
    if (admit(slots_->wait(fill), fill)) {
      cache_.release(fill.source.layer, fill.source.expert);
      ++stats_.warmed;
      stats_.warm_bytes += bytes;
    } else {
      good = false;
    }
    return true;
  });
  return good;
}

// Ends a fill that was waited for and has ended as `read` says: its expert is resident and pinned, or absent when it
// could not be read. Gives whether it is resident.
bool ExpertStore::admit(const Status& read, const TierSlots::Fill& fill) {
  if (!read) {
    cache_.abandon(fill.source.layer, fill.source.expert);
    return false;
  }
  slots_->realign(fill);
  cache_.commit(fill.source.layer, fill.source.expert);
  return true;
}

void ExpertStore::cancel_prefetches() {
  for (const TierSlots::Fill& fill : prefetching_) {
    if (!cache_.holds_all()) {
      slots_->cancel(fill);
    }
    unwanted_.push_back(fill);
  }
  prefetching_.clear();
  reclaim(false);
}

// Ends what is not wanted any more: its slot is free then, or holds it where all is kept. That it could not be read
// harms nobody.
void ExpertStore::end_unwanted(const TierSlots::Fill& fill) {
  const Status read = slots_->wait(fill);
  if (!cache_.holds_all()) {
    cache_.abandon(fill.source.layer, fill.source.expert);
  } else if (admit(read, fill)) {
    cache_.release(fill.source.layer, fill.source.expert);
  }
}

// Ends what is not wanted and has ended; `wait`: the first of them, which is waited for. False when there is none.
bool ExpertStore::reclaim(bool wait) {
  if (wait && !unwanted_.empty()) {
    end_unwanted(unwanted_.front());
    unwanted_.erase(unwanted_.begin());
    return true;
  }
  return std::erase_if(unwanted_, [this](const TierSlots::Fill& fill) {
           const bool ended = slots_->ended(fill);
           if (ended) {
             end_unwanted(fill);
           }
           return ended;
         }) > 0;
}

}  // namespace hypura
