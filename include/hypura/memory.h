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
  kWorkerMessages,   // to workers that compute dense layers, and from them
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

// The memory of an open model, which can be made less and more again while it runs (docs/guide/memory.md). Bytes are
// counted as EngineOptions::memory counts them.
struct MemoryState {
  uint64_t opened = 0;            // with: it never has more
  uint64_t limit = 0;             // now
  uint64_t least = 0;             // that it can do with as it is open
  std::string fixed;              // why that is as much, where nothing or little can be given back; else empty
  uint64_t given_back_bytes = 0;  // to the system so far, all times together
  uint64_t shrunk = 0;            // so many times
  uint64_t grown = 0;
  double tokens_per_second = 0;  // of decoding, that is expected with this
  std::string sentence;          // for people, while it has less than it was opened with; else empty
};

// "expert slots (80 of 192)", "KV cache on the GPU".
std::string to_string(const LedgerLine& line);

}  // namespace hypura
