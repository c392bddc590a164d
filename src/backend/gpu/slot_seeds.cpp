#include "backend/gpu/slot_seeds.h"

#include <algorithm>

#include "support/fail.h"

namespace hypura {

namespace {

// The ranking takes the tokens of a pass as one: a few at a time, so that the latest count most.
constexpr size_t kTogether = 16;

}  // namespace

Result<std::unique_ptr<SlotSeeds>> SlotSeeds::create(const Parts& parts, uint32_t experts) {
  std::unique_ptr<SlotSeeds> seeds(new SlotSeeds(parts));
  seeds->most_bytes_ = static_cast<uint64_t>(kTokens) * experts * sizeof(int32_t);  // a view of a whole sort
  auto host = allocate_pinned(parts.device.inner(), seeds->choices_.size() * seeds->most_bytes_);
  if (!host) {
    return propagate(host.error());
  }
  seeds->host_ = std::move(*host);
  const bool overlaps = parts.device.copy_stream() != parts.device.stream();
  auto* next = static_cast<std::byte*>(ggml_backend_buffer_get_base(seeds->host_.get()));
  for (Choice& choice : seeds->choices_) {
    choice.ids = reinterpret_cast<int32_t*>(next);
    next += seeds->most_bytes_;
    choice.landed.reset(overlaps ? ggml_backend_event_new(parts.device.inner()) : nullptr);
  }
  return seeds;
}

void SlotSeeds::fetch(uint32_t layer, const ggml_tensor& ids) {
  Choice& choice = choices_[it_.staging.half_of(layer)];
  choice.layer = layer;
  choice.used = ids.ne[0];
  choice.tokens = std::min(kTokens, ids.ne[1]);
  choice.row_bytes = ids.nb[1];
  const size_t bytes = static_cast<size_t>(choice.tokens - 1) * ids.nb[1] + static_cast<size_t>(ids.ne[0]) * ids.nb[0];
  if (ids.nb[0] != sizeof(int32_t) || bytes > most_bytes_) {
    return;  // no sort as llama.cpp's
  }
  const size_t first = static_cast<size_t>(ids.ne[1] - choice.tokens) * ids.nb[1];
  if (it_.device.computes_in_ram()) {
    ggml_backend_tensor_get(&ids, choice.ids, first, bytes);
  } else {
    ggml_backend_tensor_get_async(it_.device.stream(), &ids, choice.ids, first, bytes);
  }
  if (choice.landed != nullptr) {
    ggml_backend_event_record(choice.landed.get(), it_.device.stream());
  }
  choice.pending = true;
}

Status SlotSeeds::settle(size_t half) {
  Choice& choice = choices_[half];
  if (!choice.pending) {
    return {};
  }
  choice.pending = false;
  if (choice.landed != nullptr) {
    ggml_backend_event_synchronize(choice.landed.get());
  } else if (!it_.device.computes_in_ram()) {
    ggml_backend_synchronize(it_.device.stream());
  }
  if (!read(choice)) {
    return {};  // the kernels would have told of such a choice
  }
  rank(choice);
  return copy(choice.layer);
}

Status SlotSeeds::settle_all() {
  Status first = settle(0);
  Status second = settle(1);
  return first ? std::move(second) : std::move(first);
}

bool SlotSeeds::read(const Choice& choice) {
  const uint32_t experts = it_.layers[choice.layer].experts;
  routed_.clear();
  for (int64_t token = 0; token < choice.tokens; ++token) {
    const int32_t* row = choice.ids + static_cast<size_t>(token) * choice.row_bytes / sizeof(int32_t);
    for (int64_t k = 0; k < choice.used; ++k) {
      if (row[k] < 0 || static_cast<uint32_t>(row[k]) >= experts) {
        return false;
      }
      routed_.push_back(static_cast<uint16_t>(row[k]));
    }
  }
  return true;
}

// As many as there are slots, of those that are worth something by now.
void SlotSeeds::rank(const Choice& choice) {
  const std::span<const uint16_t> all = routed_;
  const size_t few = static_cast<size_t>(choice.used) * kTogether;
  for (size_t begin = 0; begin < all.size(); begin += few) {
    const auto chosen = all.subspan(begin, std::min(few, all.size() - begin));
    it_.store.acquire(choice.layer, {chosen, static_cast<uint32_t>(choice.used), false}, {});
    it_.store.finish();
  }
  worths_.clear();
  for (uint32_t expert = 0; expert < it_.layers[choice.layer].experts; ++expert) {
    if (const double worth = it_.store.worth(choice.layer, expert); worth > 0) {
      worths_.emplace_back(-worth, expert);
    }
  }
  std::ranges::sort(worths_);
  wanted_.clear();
  others_.clear();
  for (const auto& [worth, expert] : worths_) {
    (wanted_.size() < it_.store.own_slots(choice.layer) ? wanted_ : others_).push_back(expert);
  }
  std::ranges::sort(wanted_);
}

// RAM kept what earlier passes made worth most, and some of what now has slots.
void SlotSeeds::lower_others(uint32_t layer) {
  std::erase_if(others_, [&](uint32_t expert) { return it_.store.resident(layer, expert); });
  it_.slots.lower(layer, it_.staging.matrices(layer), others_);
}

// In the order of the stream that computes, behind what it computed with the layer. What will overwrite it waits.
Status SlotSeeds::copy(uint32_t layer) {
  it_.slots.copy_from(it_.staging.matrices(layer));
  it_.store.acquire(layer, {{}, 1, false}, wanted_);
  Status status;
  for (size_t lease = it_.store.hits(); status && lease < wanted_.size(); ++lease) {
    status = it_.store.wait(lease);
    it_.stats.seeded += status ? 1 : 0;
  }
  it_.store.finish();
  it_.slots.stop_copying();
  lower_others(layer);
  if (!it_.device.computes_in_ram()) {  // there they have ended
    it_.staging.used(layer);
  }
  return status;
}

}  // namespace hypura
