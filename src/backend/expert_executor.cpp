#include "backend/expert_executor.h"

#include <algorithm>

#include "residency/visits.h"
#include "support/fail.h"

namespace hypura {

ExpertExecutor::ExpertExecutor(const StreamLayout& layout, Reader& reader, InnerGraph& inner, StreamStats& stats,
                               const ExpertCache::Config& config)
    : layout_(layout),
      reader_(reader),
      inner_(inner),
      stats_(stats),
      cache_(config),
      demands_(layout.experts),
      guesses_(layout.experts) {
  for (uint32_t expert = 0; expert < layout.experts; ++expert) {
    demands_[expert].expert = expert;
  }
}

ExpertExecutor::~ExpertExecutor() {
  end_warm_start();
  if (ahead_ != nullptr) {
    ahead_->drain();
  }
}

Result<std::unique_ptr<ExpertExecutor>> ExpertExecutor::create(const StreamLayout& layout, Reader& reader,
                                                               InnerGraph& inner, StreamStats& stats, uint32_t slots,
                                                               uint32_t spare, const std::vector<uint32_t>& quotas,
                                                               uint32_t max_rows, RepackRoom* room) {
  const ExpertCache::Config config = {static_cast<uint32_t>(layout.expert_layers.size()), layout.experts, slots, spare,
                                      quotas};
  std::unique_ptr<ExpertExecutor> executor(new ExpertExecutor(layout, reader, inner, stats, config));
  auto memory = MemoryRegion::allocate(slots * layout.slot_stride);
  if (!memory) {
    return propagate(memory.error(), "the expert slots");
  }
  executor->slots_ = std::move(*memory);
  executor->ahead_ = std::make_unique<ExpertAhead>(layout, reader, executor->cache_, executor->slots_.data());
  auto batch = ExpertBatch::create(layout, inner, executor->slots_.data(), max_rows, room);
  if (!batch) {
    return propagate(batch.error());
  }
  executor->batch_ = std::move(*batch);
  executor->max_rows_ = max_rows;
  reader.register_memory(executor->slots_.span());
  return executor;
}

void ExpertExecutor::recall(const RoutingTrace& trace) {
  const Visits visits(trace);
  for (const Visit& visit : visits.all()) {
    cache_.begin(visit.layer, visit.choice);
  }
  std::vector<uint32_t> quotas;
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    quotas.push_back(cache_.quota(layer));
  }
  warm_ = std::make_unique<WarmStart>(layout_, reader_, cache_, slots_.data(), stats_, hot_set(trace, quotas));
}

bool ExpertExecutor::warm_up() {
  return warm_ != nullptr && warm_->step();
}

void ExpertExecutor::end_warm_start() {
  if (warm_ != nullptr) {
    ahead_->adopt(warm_->stop());
    warm_.reset();
  }
}

Status ExpertExecutor::run(const ExpertBlock& block) {
  end_warm_start();
  if (Status status = collect(block); !status) {
    return status;
  }
  look_up(block);
  issue_reads(block);
  judge_guesses(block);
  guess(block);
  if (misses_.empty()) {
    read_ahead(block);
  }
  const bool whole = misses_.empty() && block.tokens() < ExpertBatch::kOwnCallRows;
  Status status = whole ? batch_->compute_whole(block, chosen(hits_)) : batch_->keep_inputs(block);
  if (status && !whole) {
    status = compute_hits(block);
  }
  if (status) {
    status = compute_misses(block);
  }
  if (!status) {
    drain(block);
  }
  settle(block);
  return status;
}

// Sorts the pairs by the expert they chose.
Status ExpertExecutor::collect(const ExpertBlock& block) {
  for (Demand& demand : demands_) {
    demand.pairs.clear();
  }
  routed_.clear();
  const uint32_t experts = layout_.expert_layers[block.layer].experts;
  for (int64_t token = 0; token < block.tokens(); ++token) {
    for (int64_t k = 0; k < block.used(); ++k) {
      const auto* id = reinterpret_cast<const int32_t*>(static_cast<const std::byte*>(block.ids->data) +
                                                        token * block.ids->nb[1] + k * block.ids->nb[0]);
      if (*id < 0 || static_cast<uint32_t>(*id) >= experts) {
        return fail(ErrorCode::kInternal, "layer {}: the router chose expert {} of {}",
                    layout_.expert_layers[block.layer].layer, *id, experts);
      }
      demands_[static_cast<size_t>(*id)].pairs.push_back(static_cast<uint32_t>(token * block.used() + k));
      routed_.push_back(static_cast<uint16_t>(*id));
    }
  }
  return {};
}

void ExpertExecutor::look_up(const ExpertBlock& block) {
  hits_.clear();
  misses_.clear();
  next_miss_ = 0;
  computed_ = 0;
  const bool decode = decoding();
  cache_.begin(block.layer, {routed_, static_cast<uint32_t>(block.used()), decode});
  for (Demand& demand : demands_) {
    if (demand.pairs.empty()) {
      continue;
    }
    const auto slot = cache_.lookup(block.layer, demand.expert);
    demand.slot = slot.value_or(0);
    demand.group = 0;
    (slot ? hits_ : misses_).push_back(&demand);
  }
  take_what_was_read_ahead(block);
  (decode ? stats_.decode_lookups : stats_.prefill_lookups) += hits_.size() + misses_.size();
  (decode ? stats_.decode_hits : stats_.prefill_hits) += hits_.size();
  if (recorder_ != nullptr) {
    recorder_->note(block.layer, static_cast<uint32_t>(block.used()), routed_, static_cast<uint32_t>(hits_.size()));
  }
}

// Misses whose reads are under way already come first.
void ExpertExecutor::take_what_was_read_ahead(const ExpertBlock& block) {
  for (Demand*& miss : misses_) {
    if (const auto reading = ahead_->take(block.layer, miss->expert)) {
      miss->slot = reading->slot;
      miss->group = reading->group;
      std::swap(miss, misses_[next_miss_++]);
    }
  }
  stats_.ahead_used += decoding() ? next_miss_ : 0;
  ahead_->give_up_rest();
}

// A slot to read into. Reads that were given up hold slots until they end; they are waited for only where nothing else
// of the block is under way that would free one.
std::optional<ExpertCache::Slot> ExpertExecutor::take_slot(uint32_t layer, uint32_t expert) {
  auto slot = cache_.take(layer, expert);
  while (!slot && ahead_->reclaim(next_miss_ == computed_)) {
    slot = cache_.take(layer, expert);
  }
  return slot;
}

// Requests all slices of each missing expert together, as long as slots are free.
void ExpertExecutor::issue_reads(const ExpertBlock& block) {
  for (; next_miss_ < misses_.size(); ++next_miss_) {
    Demand& demand = *misses_[next_miss_];
    const auto slot = take_slot(block.layer, demand.expert);
    if (!slot) {
      return;
    }
    demand.slot = *slot;
    const auto reads = expert_reads(layout_.expert_layers[block.layer], demand.expert, slot_data(*slot));
    demand.group = reader_.submit(reads, Priority::kDemand);
  }
}

bool ExpertExecutor::decoding() const {
  return stats_.phase.load(std::memory_order_relaxed) == Phase::kDecode;
}

// The layer that was guessed for has chosen.
void ExpertExecutor::judge_guesses(const ExpertBlock& block) {
  if (judged_layer_ == 0 || judged_layer_ != block.layer || !decoding()) {
    return;
  }
  const auto right = std::count_if(guesses_.begin(), guesses_.begin() + guessed_,
                                   [this](const ExpertGuess& guess) { return !demands_[guess.expert].pairs.empty(); });
  stats_.guesses += guessed_;
  stats_.guesses_right += static_cast<uint64_t>(right);
  stats_.guesses_among += hits_.size() + misses_.size();
}

// What the next layer may choose: while the disk is busy with what this one chose.
void ExpertExecutor::guess(const ExpertBlock& block) {
  guessed_ = 0;
  const uint32_t next = block.layer + 1;
  if (decoding()) {
    const bool wanted = foresight_ != nullptr && block.tokens() <= Foresight::kMostRows;
    guessed_ = wanted ? static_cast<uint32_t>(foresight_->guess(block, routed_, guesses_)) : 0;
    judged_layer_ = guessed_ > 0 ? next : 0;
  } else if (prompts_ahead_ && next < layout_.expert_layers.size() &&
             routed_.size() >= size_t{kChoicesForAll} * layout_.expert_layers[next].experts) {
    guessed_ = layout_.expert_layers[next].experts;
    for (uint32_t expert = 0; expert < guessed_; ++expert) {
      guesses_[expert] = {expert, 1};
    }
  }
}

// Once all that was asked for is there, so that nothing that is wanted waits for what may be.
void ExpertExecutor::read_ahead(const ExpertBlock& block) {
  if (guessed_ > 0) {
    const std::span<const ExpertGuess> guesses(guesses_.data(), guessed_);
    const uint32_t reads = ahead_->read(block.layer + 1, guesses, kReserve);
    stats_.ahead_reads += decoding() ? reads : 0;
  }
}

// Takes in an expert whose reads have ended.
Status ExpertExecutor::land(const ExpertBlock& block, Demand& demand) {
  const ExpertLayer& layer = layout_.expert_layers[block.layer];
  const auto start = std::chrono::steady_clock::now();
  if (!reader_.finished(demand.group)) {
    inner_.rest();
  }
  const Status read = reader_.wait(demand.group);
  add_seconds(stats_.io_wait_seconds, start);
  demand.group = 0;
  if (!land_expert(read, cache_, layer, block.layer, demand.expert, slot_data(demand.slot))) {
    return propagate(read.error(), fmt::format("expert {} of layer {}", demand.expert, layer.layer));
  }
  return {};
}

std::span<const ChosenExpert> ExpertExecutor::chosen(std::span<Demand* const> demands) {
  chosen_.clear();
  for (const Demand* demand : demands) {
    chosen_.push_back({demand->expert, demand->slot, demand->pairs});
  }
  return chosen_;
}

// The demands from `begin` on that are computed in one call: as many as fit the row buffers, or one with many rows.
// `ready` tells whether a demand may join; the first always does.
template <class Ready>
size_t ExpertExecutor::batch_end(const std::vector<Demand*>& demands, size_t begin, size_t end, Ready ready) const {
  uint64_t rows = demands[begin]->pairs.size();
  size_t i = begin + 1;
  while (demands[begin]->pairs.size() < ExpertBatch::kOwnCallRows && i < end &&
         demands[i]->pairs.size() < ExpertBatch::kOwnCallRows && rows + demands[i]->pairs.size() <= max_rows_ &&
         ready(*demands[i])) {
    rows += demands[i++]->pairs.size();
  }
  return i;
}

// Resident experts, in batches; between batches the reader is given the chance to issue more.
Status ExpertExecutor::compute_hits(const ExpertBlock& block) {
  for (size_t done = 0; done < hits_.size();) {
    const size_t end = batch_end(hits_, done, hits_.size(), [](const Demand&) { return true; });
    if (Status status = batch_->compute(block, chosen({hits_.begin() + done, hits_.begin() + end})); !status) {
      return status;
    }
    reader_.poll();
    done = end;
  }
  return {};
}

// Missing experts, in the order they were asked for; those that have landed together are computed together.
Status ExpertExecutor::compute_misses(const ExpertBlock& block) {
  while (computed_ < misses_.size()) {
    const size_t end =
        batch_end(misses_, computed_, next_miss_, [&](const Demand& demand) { return reader_.finished(demand.group); });
    const std::span<Demand*> batch(misses_.begin() + computed_, misses_.begin() + end);
    Status status;
    size_t landed = 0;
    while (status && landed < batch.size()) {
      status = land(block, *batch[landed]);
      landed += status ? 1 : 0;
    }
    if (status && end == misses_.size()) {
      read_ahead(block);
    }
    if (status) {
      status = batch_->compute(block, chosen(batch));
    }
    for (const Demand* demand : batch.first(landed)) {
      cache_.release(block.layer, demand->expert);
    }
    if (!status) {
      return status;
    }
    computed_ = end;
    issue_reads(block);
  }
  return {};
}

// Unpins the hits, now that the block is done.
void ExpertExecutor::settle(const ExpertBlock& block) {
  for (const Demand* demand : hits_) {
    cache_.release(block.layer, demand->expert);
  }
}

// After a failure: ends the reads still under way, so that no slot is written behind the cache's back.
void ExpertExecutor::drain(const ExpertBlock& block) {
  for (size_t i = 0; i < next_miss_; ++i) {
    if (misses_[i]->group != 0) {
      reader_.cancel(misses_[i]->group);
      static_cast<void>(reader_.wait(misses_[i]->group));  // the first error is the one that is reported
      cache_.abandon(block.layer, misses_[i]->expert);
    }
  }
}

}  // namespace hypura
