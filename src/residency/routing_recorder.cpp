#include "residency/routing_recorder.h"

#include <algorithm>

namespace hypura {

RoutingRecorder::RoutingRecorder(RoutingTrace shape, uint64_t limit)
    : shape_(std::move(shape)), limit_(limit), earlier_(shape_.earlier) {}

void RoutingRecorder::begin_pass(bool decode) {
  decode_ = decode;
  open_ = false;
}

void RoutingRecorder::open_pass(uint32_t tokens) {
  while (!passes_.empty() && tokens_ + tokens > limit_) {
    tokens_ -= passes_.front().pass.tokens;
    earlier_ += passes_.front().pass.tokens;
    passes_.pop_front();
  }
  Recorded& it = passes_.emplace_back();
  it.pass = {tokens, decode_, 0};
  it.chosen.assign(uint64_t{tokens} * shape_.layers * shape_.used, RoutingTrace::kNone);
  tokens_ += tokens;
  open_ = true;
}

void RoutingRecorder::note(uint32_t layer, uint32_t used, std::span<const uint16_t> chosen, uint32_t hits) {
  const auto rows = static_cast<uint32_t>(chosen.size() / used);
  if (rows == 0) {
    return;
  }
  const bool belongs = open_ && layer >= layer_ && rows <= passes_.back().pass.tokens;
  if (!belongs) {
    open_pass(rows);
  } else if (layer == layer_) {
    return;
  }
  layer_ = layer;
  Recorded& it = passes_.back();
  it.pass.hits += hits;
  const uint32_t kept = std::min(used, shape_.used);
  for (uint32_t row = 0; row < rows; ++row) {
    const uint64_t token = it.pass.tokens - rows + row;
    const auto from = chosen.subspan(uint64_t{row} * used, kept);
    std::copy(from.begin(), from.end(),
              it.chosen.begin() + static_cast<std::ptrdiff_t>((token * shape_.layers + layer) * shape_.used));
  }
}

RoutingTrace RoutingRecorder::trace() const {
  RoutingTrace trace = shape_;
  trace.earlier = earlier_;
  for (const Recorded& it : passes_) {
    trace.passes.push_back(it.pass);
    trace.chosen.insert(trace.chosen.end(), it.chosen.begin(), it.chosen.end());
  }
  return trace;
}

std::vector<uint16_t> RoutingRecorder::uses(uint32_t layer, uint64_t tokens) const {
  std::vector<uint16_t> uses(shape_.experts);
  for (auto it = passes_.rbegin(); it != passes_.rend() && tokens > 0; ++it) {
    const uint64_t counted = std::min<uint64_t>(tokens, it->pass.tokens);
    tokens -= counted;
    for (uint64_t token = it->pass.tokens - counted; token < it->pass.tokens; ++token) {
      const auto row = std::span(it->chosen).subspan((token * shape_.layers + layer) * shape_.used, shape_.used);
      for (const uint16_t expert : row) {
        if (expert < uses.size()) {
          ++uses[expert];
        }
      }
    }
  }
  return uses;
}

}  // namespace hypura
