#include "backend/warm_start.h"

#include <utility>

namespace hypura {

namespace {

uint64_t bytes_of(const ExpertLayer& layer) {
  uint64_t bytes = 0;
  for (const ExpertPart& part : layer.parts) {
    bytes += part.slice_bytes;
  }
  return bytes;
}

}  // namespace

WarmStart::WarmStart(const StreamLayout& layout, Reader& reader, ExpertCache& cache, std::byte* slots,
                     StreamStats& stats, std::vector<LayerExpert> hot)
    : layout_(layout), reader_(reader), cache_(cache), slots_(slots), stats_(stats), hot_(hot.begin(), hot.end()) {}

bool WarmStart::step() {
  take_in();
  while (!hot_.empty() && (under_way_.empty() || bytes_ < kMostBytes)) {
    const LayerExpert next = hot_.front();
    const ExpertLayer& layer = layout_.expert_layers[next.layer];
    const auto slot = cache_.take(next.layer, next.expert);
    if (!slot) {
      hot_.clear();
      break;
    }
    const auto reads = expert_reads(layer, next.expert, slots_ + *slot * layout_.slot_stride);
    under_way_.push_back({next.layer, next.expert, *slot, reader_.submit(reads, Priority::kPrefetch)});
    bytes_ += bytes_of(layer);
    hot_.pop_front();
  }
  return !under_way_.empty();
}

std::vector<ExpertAhead::Reading> WarmStart::stop() {
  hot_.clear();
  take_in();
  return std::exchange(under_way_, {});
}

void WarmStart::take_in() {
  std::erase_if(under_way_, [this](const ExpertAhead::Reading& reading) {
    if (!reader_.finished(reading.group)) {
      return false;
    }
    if (!land(reading)) {
      hot_.clear();
    }
    return true;
  });
}

bool WarmStart::land(const ExpertAhead::Reading& reading) {
  const ExpertLayer& layer = layout_.expert_layers[reading.layer];
  bytes_ -= bytes_of(layer);
  if (!land_expert(reader_.wait(reading.group), cache_, layer, reading.layer, reading.expert,
                   slots_ + reading.slot * layout_.slot_stride)) {
    return false;
  }
  cache_.release(reading.layer, reading.expert);
  ++stats_.warmed;
  stats_.warm_bytes += bytes_of(layer);
  return true;
}

}  // namespace hypura
