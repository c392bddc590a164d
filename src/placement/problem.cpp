#include "placement/problem.h"

#include <algorithm>

namespace hypura {

const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kResident:
      return "resident";
    case Mode::kExpertStreaming:
      return "expert-streaming";
    case Mode::kDenseStreaming:
      return "dense-streaming";
    case Mode::kMixedStreaming:
      return "mixed-streaming";
  }
  return "unknown";
}

bool streams_experts(Mode mode) {
  return mode == Mode::kExpertStreaming || mode == Mode::kMixedStreaming;
}

bool streams_dense(Mode mode) {
  return mode == Mode::kDenseStreaming || mode == Mode::kMixedStreaming;
}

uint64_t PlacementProblem::dense_bytes() const {
  uint64_t sum = 0;
  for (const DenseWeight& it : dense) {
    sum += it.bytes;
  }
  return sum;
}

uint64_t PlacementProblem::dense_rooms() const {
  uint64_t sum = 0;
  for (const DenseWeight& it : dense) {
    sum += it.room;
  }
  return sum;
}

uint64_t PlacementProblem::largest_room() const {
  uint64_t most = 0;
  for (const DenseWeight& it : dense) {
    most = std::max(most, it.room);
  }
  return most;
}

uint32_t PlacementProblem::expert_slots() const {
  uint32_t sum = 0;
  for (const ExpertGroup& it : experts) {
    sum += it.layers * it.experts;
  }
  return sum;
}

uint32_t PlacementProblem::most_used() const {
  uint32_t most = 0;
  for (const ExpertGroup& it : experts) {
    most = std::max(most, it.used);
  }
  return most;
}

uint32_t PlacementProblem::slots_per_token() const {
  uint32_t sum = 0;
  for (const ExpertGroup& it : experts) {
    sum += it.layers * it.used;
  }
  return sum;
}

}  // namespace hypura
