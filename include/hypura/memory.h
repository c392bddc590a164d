// The words of memory: where bytes are, and what they are for.
#pragma once

#include <cstdint>
#include <string>

namespace hypura {

// Where bytes are at home, fastest first.
enum class Tier : uint8_t { kDevice, kRam, kDisk };

const char* to_string(Tier tier);  // "device", "RAM", "disk"

// What a large stretch of memory is for.
enum class Purpose : uint8_t {
  kWeights,          // of a resident model
  kUnusedWeights,    // that llama.cpp loads though nothing uses them
  kResidentWeights,  // that stay in a model of which others are streamed
  kPinnedWeights,    // dense ones that could be streamed, and stay
  kRing,             // that the other dense ones pass through
  kExpertSlots,
  kExpertBuffers,  // rows of experts, the cache's books
  kRepackBuffer,
  kKvCache,
  kComputeBuffers,
  kVocabulary,
  kDraftModel,
  kStaging,          // blocks that a resident model's weights are read through
  kProcessOverhead,  // code, stacks, allocator
};

const char* to_string(Purpose purpose);

// One line of the memory ledger.
struct LedgerLine {
  Purpose purpose{};
  uint64_t bytes = 0;
  std::string note = {};  // shown behind the purpose: " (80 of 192)"
  Tier tier = Tier::kRam;
};

// "expert slots (80 of 192)".
std::string to_string(const LedgerLine& line);

}  // namespace hypura
