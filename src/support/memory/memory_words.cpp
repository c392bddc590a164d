#include "hypura/memory.h"

namespace hypura {

const char* to_string(Tier tier) {
  switch (tier) {
    case Tier::kDevice:
      return "device";
    case Tier::kRam:
      return "RAM";
    case Tier::kDisk:
      return "disk";
  }
  return "unknown";
}

const char* to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::kWeights:
      return "weights";
    case Purpose::kUnusedWeights:
      return "weights that nothing uses";
    case Purpose::kResidentWeights:
      return "resident weights";
    case Purpose::kPinnedWeights:
      return "pinned dense weights";
    case Purpose::kRing:
      return "ring for dense weights";
    case Purpose::kTableRows:
      return "rows of tables";
    case Purpose::kWorkerMessages:
      return "messages to workers";
    case Purpose::kExpertSlots:
      return "expert slots";
    case Purpose::kExpertBuffers:
      return "expert buffers";
    case Purpose::kRepackBuffer:
      return "repack buffer";
    case Purpose::kKvCache:
      return "KV cache";
    case Purpose::kKvStore:
      return "KV beyond the context";
    case Purpose::kComputeBuffers:
      return "compute buffers";
    case Purpose::kVocabulary:
      return "vocabulary";
    case Purpose::kDraftModel:
      return "draft model";
    case Purpose::kStaging:
      return "staging";
    case Purpose::kProcessOverhead:
      return "process overhead";
  }
  return "unknown";
}

std::string to_string(const LedgerLine& line) {
  return std::string(to_string(line.purpose)) + (line.tier == Tier::kDevice ? " on the GPU" : "") + line.note;
}

}  // namespace hypura
