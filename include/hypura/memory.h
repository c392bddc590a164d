// Memory: on which tier bytes are, and what they are for.
#pragma once

#include <cstdint>
#include <string>

namespace hypura {

// A kind of memory, fastest first.
enum class Tier : uint8_t { kDevice, kRam, kDisk };

const char* to_string(Tier tier);  // "device", "RAM", "disk"

// What a large allocation is for.
enum class Purpose : uint8_t {
  kWeights,          // of a resident model
  kUnusedWeights,    // that llama.cpp loads, though nothing uses them
  kResidentWeights,  // that are never streamed, of a model that streams others
  kPinnedWeights,    // dense ones that could be streamed, and stay
  kRing,             // of the dense ones that are streamed
  kTableRows,        // of tables that are looked up row by row
  kExpertSlots,
  kExpertBuffers,  // rows of experts, bookkeeping of the cache
  kRepackBuffer,
  kKvCache,
  kKvStore,  // keys and values beyond the context
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

// "expert slots (80 of 192)", "KV cache on the GPU".
std::string to_string(const LedgerLine& line);

}  // namespace hypura
