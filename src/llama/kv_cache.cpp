#include "llama/kv_cache.h"

#include <algorithm>

#include "llama/sequence_choice.h"

namespace hypura {

KvCache::KvCache(KvMemory& memory) : memory_(memory), entries_(memory.sequences()) {}

KvCache::~KvCache() {
  for (uint32_t sequence = 0; sequence < entries_.size(); ++sequence) {
    memory_.cut(sequence, 0);
  }
}

uint32_t KvCache::idle() const {
  return static_cast<uint32_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const Entry& it) { return it.idle; }));
}

uint64_t KvCache::held() const {
  uint64_t tokens = 0;
  for (const Entry& it : entries_) {
    tokens += it.tokens.size();
  }
  return tokens;
}

KvPlace KvCache::acquire(std::span<const int32_t> prompt, uint32_t most) {
  std::vector<SequenceView> views;
  for (const Entry& it : entries_) {
    views.push_back({it.tokens, it.idle, it.last_used});
  }
  const SequenceChoice choice = choose_sequence(views, prompt, memory_.can_cut());
  KvPlace place{choice.sequence, choice.donor, std::min(choice.reused, most)};
  Entry& entry = entries_[place.sequence];
  if (place.donor != place.sequence) {
    memory_.cut(place.sequence, 0);
    place.reused = memory_.copy(place.donor, place.sequence, place.reused);
  } else if (entry.tokens.size() != place.reused) {
    place.reused = memory_.cut(place.sequence, place.reused);
  }
  entry.tokens.assign(prompt.begin(), prompt.begin() + place.reused);
  entry.idle = false;
  entry.last_used = ++clock_;
  return place;
}

void KvCache::append(uint32_t sequence, std::span<const int32_t> tokens) {
  Entry& it = entries_[sequence];
  it.tokens.insert(it.tokens.end(), tokens.begin(), tokens.end());
  it.last_used = ++clock_;
}

uint32_t KvCache::cut(uint32_t sequence, uint32_t count) {
  const uint32_t left = memory_.cut(sequence, count);
  entries_[sequence].tokens.resize(left);
  return left;
}

}  // namespace hypura
