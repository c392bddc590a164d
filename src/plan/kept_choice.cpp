#include "plan/kept_choice.h"

#include <algorithm>
#include <cmath>

#include "kv/kv_entry.h"
#include "kv/kv_file.h"
#include "llama/kept_kv.h"
#include "llama/open/memory_estimate.h"
#include "plan/request_cost.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kMostConversations = 4;
// Blocks in RAM, at least; and those that are being read: one is used, one is coming.
constexpr uint64_t kBlocksInRam = 2;
constexpr uint64_t kEntriesInWork = 2;
// Of an entry: its tokens, positions, llama.cpp's headers. Assumed.
constexpr uint64_t kKvEntryOverhead = 256 * kKiB;

// Seconds that keeping saves a turn in the mean, with so many bytes of entries in RAM.
double saved(const KeptTerms& terms, uint64_t bytes) {
  const auto conversation = static_cast<double>(terms.conversation);
  const double from_ram = conversation / kHostBytesPerSecond;
  const double from_disk = terms.disk_bytes_per_second > 0
                               ? conversation / std::min(terms.disk_bytes_per_second, kHostBytesPerSecond)
                               : terms.computing;
  const double in_ram = 1 - std::exp2(-static_cast<double>(bytes) / conversation);
  const double fetching = in_ram * from_ram + (1 - in_ram) * std::min(from_disk, terms.computing);
  return kTurnsOfOthers * std::max(terms.computing - fetching, 0.0);
}

// Of a model with a state an entry has the tokens since the last one.
KeptTerms terms_of(const OpenRequest& request, const RequestCost& cost) {
  const KvType type = request.options.kv_type == KvType::kQ8_0 ? KvType::kQ8_0 : KvType::kF16;
  const auto state = static_cast<uint64_t>(estimate_state_bytes(request.model));
  const auto bytes = [&](uint32_t tokens) {
    return kKvEntryOverhead + estimate_kv_bytes(request.model, tokens, type) + state;
  };
  const uint64_t block = bytes(kKvBlockTokens);
  const uint64_t entry = state == 0 ? block : bytes(std::min(request.context, kKvStride + kLargestUbatch));
  const uint32_t conversation = std::min(kConversation, request.context);
  KeptTerms terms;
  terms.least = state == 0 ? kBlocksInRam * block : entry;
  terms.in_work = kEntriesInWork * entry + std::min(kKvWriteBytes, 2 * block) + kKvReadBytes;
  terms.conversation = bytes(conversation);
  terms.computing = cost.prompt * conversation / kComparedPrompt;
  terms.disk_bytes_per_second = request.options.kv_disk == 0 ? 0 : cost.disk_bytes_per_second;
  return terms;
}

}  // namespace

KeptChoice choose_kept(const KeptTerms& terms, const std::function<double(uint64_t bytes)>& turn_seconds) {
  const double without = turn_seconds(0);
  KeptChoice best;
  double most_saved = 0;
  const uint64_t most = std::max(kMostConversations * terms.conversation, terms.least);
  for (uint64_t bytes = terms.least; bytes <= most; bytes *= 2) {
    const double in_all = saved(terms, bytes) - (turn_seconds(bytes + terms.in_work) - without);
    const bool better = in_all > 0 && in_all >= most_saved;
    best.more_pays_not = !better;
    if (better) {
      most_saved = in_all;
      best = {bytes, bytes + terms.in_work};
    }
  }
  return best;
}

KeptChoice choose_kept(const OpenRequest& request) {
  const RequestCost all = request_cost(request, 0);
  if (!all.fits()) {
    return {};  // which opening it will say
  }
  return choose_kept(terms_of(request, all), [&](uint64_t bytes) {
    OpenRequest with = request;
    with.budget -= std::min(bytes, with.budget);
    const RequestCost cost = bytes == 0 ? all : request_cost(with, 0);
    return kTurnAnswer * cost.token + cost.prompt * kTurnPrompt / kComparedPrompt;
  });
}

}  // namespace hypura
