#include "backend/gpu/prefetch/read_prefetch.h"

#include <algorithm>
#include <chrono>

#include "support/fail.h"

namespace hypura {

void ReadPrefetch::begin(uint32_t layer, std::span<const ExpertPrediction> predictions) {
  forget();
  store_.expect(layer, predictions);
  if (staging_.matrices(layer).empty()) {
    return;  // all of its experts have slots
  }
  end_unwanted(staging_.half_of(layer));
  const std::span<ggml_tensor* const> matrices = staging_.make_room(layer).matrices;
  for (size_t place = 0; place < predictions.size(); ++place) {
    const uint32_t expert = predictions[place].expert;
    if (!store_.resident(layer, expert) && store_.worth_reading(place)) {
      coming_.push_back({layer, expert, reads_.begin(layer, expert, matrices, expert, Priority::kPrefetch)});
      ++stats_.read_ahead;
    }
  }
}

bool ReadPrefetch::has(uint32_t layer, uint32_t expert) const {
  return std::ranges::any_of(coming_, [&](const Coming& it) { return it.layer == layer && it.expert == expert; });
}

Result<std::span<ggml_tensor* const>> ReadPrefetch::take(std::span<UploadItem> items) {
  const auto start = std::chrono::steady_clock::now();
  Status result;
  for (const UploadItem& item : items) {
    if (Status status = end(*std::ranges::find(coming_, item.expert, &Coming::expert)); !status && result) {
      result = std::move(status);
    }
  }
  add_seconds(stats_.read_wait_seconds, start);
  stats_.read_ahead_used += items.size();
  if (!result) {
    return propagate(result.error());
  }
  return staging_.matrices(coming_.front().layer);
}

Status ReadPrefetch::end(Coming& it) {
  if (it.there) {
    return {};
  }
  Status status = reads_.end(it.layer, it.expert, staging_.matrices(it.layer), it.expert, it.reads);
  it.there = true;
  return status;
}

void ReadPrefetch::forget() {
  for (const Coming& it : coming_) {
    if (!it.there) {
      reads_.cancel(it.reads);
      unwanted_.push_back(it);
    }
  }
  coming_.clear();
}

// That they could not be read harms nobody.
void ReadPrefetch::end_unwanted(size_t half) {
  std::erase_if(unwanted_, [&](Coming& it) {
    const bool now = staging_.half_of(it.layer) == half;
    if (now) {
      static_cast<void>(end(it));
    }
    return now;
  });
}

void ReadPrefetch::give_way(uint32_t layer) {
  forget();
  end_unwanted(staging_.half_of(layer));
}

void ReadPrefetch::settle() {
  forget();
  end_unwanted(0);
  end_unwanted(1);
}

}  // namespace hypura
