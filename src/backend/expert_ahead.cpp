#include "backend/expert_ahead.h"

#include <algorithm>
#include <cstring>

namespace hypura {

std::vector<ReadRequest> expert_reads(const ExpertLayer& layer, uint32_t expert, std::byte* slot) {
  std::vector<ReadRequest> reads;
  reads.reserve(layer.parts.size());
  for (const ExpertPart& part : layer.parts) {
    const Extent extent = part.tensor->expert_extent(expert);
    reads.push_back({extent.file, extent.offset, extent.length, slot + part.place + extent.offset % kDirectAlignment});
  }
  return reads;
}

uint32_t ExpertAhead::read(uint32_t layer, std::span<const ExpertGuess> guesses, uint32_t reserve) {
  uint32_t count = 0;
  for (const ExpertGuess& guess : guesses) {
    if (cache_.free_slots() <= reserve) {
      break;
    }
    if (!cache_.absent(layer, guess.expert)) {
      continue;
    }
    const uint32_t slot = *cache_.take(layer, guess.expert);
    const auto reads = expert_reads(layout_.expert_layers[layer], guess.expert, slots_ + slot * layout_.slot_stride);
    under_way_.push_back({layer, guess.expert, slot, reader_.submit(reads, Priority::kPrefetch)});
    ++count;
  }
  return count;
}

std::optional<ExpertAhead::Reading> ExpertAhead::take(uint32_t layer, uint32_t expert) {
  const auto wanted = [&](const Reading& it) { return it.layer == layer && it.expert == expert; };
  for (std::vector<Reading>* readings : {&under_way_, &given_up_}) {
    const auto it = std::find_if(readings->begin(), readings->end(), wanted);
    if (it == readings->end()) {
      continue;
    }
    const Reading reading = *it;
    readings->erase(it);
    if (readings == &under_way_ || cache_.holds_all()) {
      return reading;
    }
    give_back(reading);
  }
  return std::nullopt;
}

void ExpertAhead::adopt(std::span<const Reading> readings) {
  under_way_.insert(under_way_.end(), readings.begin(), readings.end());
}

void ExpertAhead::give_up_rest() {
  for (const Reading& reading : under_way_) {
    if (!cache_.holds_all()) {
      reader_.cancel(reading.group);
    }
    given_up_.push_back(reading);
  }
  under_way_.clear();
  reclaim(false);
}

bool ExpertAhead::reclaim(bool wait) {
  if (wait && !given_up_.empty()) {
    give_back(given_up_.front());
    given_up_.erase(given_up_.begin());
    return true;
  }
  return std::erase_if(given_up_, [this](const Reading& reading) {
           const bool ended = reader_.finished(reading.group);
           if (ended) {
             give_back(reading);
           }
           return ended;
         }) > 0;
}

void ExpertAhead::drain() {
  give_up_rest();
  for (const Reading& reading : given_up_) {
    reader_.cancel(reading.group);
  }
  while (reclaim(true)) {
  }
}

void ExpertAhead::give_back(const Reading& reading) {
  const Status read = reader_.wait(reading.group);  // nobody wants it: that it failed harms nobody either
  if (!cache_.holds_all()) {
    cache_.abandon(reading.layer, reading.expert);
  } else if (land_expert(read, cache_, layout_.expert_layers[reading.layer], reading.layer, reading.expert,
                         slots_ + reading.slot * layout_.slot_stride)) {
    cache_.release(reading.layer, reading.expert);
  }
}

namespace {

// Moves what reads have brought to where kernels expect it.
void put_in_place(const ExpertLayer& layer, uint32_t expert, std::byte* slot) {
  for (const ExpertPart& part : layer.parts) {
    if (part.moved) {
      std::byte* room = slot + part.place;
      std::memmove(room + part.shift, room + part.tensor->expert_extent(expert).offset % kDirectAlignment,
                   part.slice_bytes);
    }
  }
}

}  // namespace

bool land_expert(const Status& read, ExpertCache& cache, const ExpertLayer& layer, uint32_t layer_index,
                 uint32_t expert, std::byte* slot) {
  if (!read) {
    cache.abandon(layer_index, expert);
    return false;
  }
  put_in_place(layer, expert, slot);
  cache.commit(layer_index, expert);
  return true;
}

}  // namespace hypura
