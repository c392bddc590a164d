#include "llama/kv_cache.h"

#include <algorithm>
#include <chrono>

namespace hypura {

namespace {

// What is taken back of a sequence at a time, at least: each time llama.cpp looks at all of its cells.
constexpr uint32_t kTakenBack = 64;

constexpr std::chrono::seconds kLongestKeeping(10);

}  // namespace

KvCache::KvCache(KvMemory& memory, uint32_t cells, KvKeeper* keeper)
    : memory_(memory), keeper_(keeper), cells_(cells), entries_(memory.sequences()), books_(memory.sequences()) {}

KvCache::~KvCache() {
  for (uint32_t sequence = 0; sequence < entries_.size(); ++sequence) {
    memory_.cut(sequence, 0);
  }
}

uint32_t KvCache::idle() const {
  return static_cast<uint32_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const Entry& it) { return it.idle; }));
}

std::vector<SequenceView> KvCache::views() const {
  std::vector<SequenceView> views;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    views.push_back({entries_[i].tokens, entries_[i].idle, entries_[i].last_used, books_.shared(i)});
  }
  return views;
}

SequenceChoice KvCache::choose(std::span<const int32_t> prompt, uint32_t most) const {
  SequenceChoice choice = choose_sequence(views(), prompt, memory_.can_cut());
  choice.reused = std::min(choice.reused, most);
  return choice;
}

uint32_t KvCache::room(const SequenceChoice& choice) const {
  std::vector<bool> in_use;
  for (const Entry& it : entries_) {
    in_use.push_back(!it.idle);
  }
  return cells_ - books_.cells_of(in_use, choice.donor, choice.reused);
}

KvPlace KvCache::acquire(std::span<const int32_t> prompt, uint32_t most) {
  const SequenceChoice choice = choose(prompt, most);
  KvPlace place{choice.sequence, choice.donor, choice.reused};
  Entry& entry = entries_[place.sequence];
  if (place.donor != place.sequence) {
    forget(place.sequence, 0);
    place.reused = memory_.copy(place.donor, place.sequence, place.reused);
    books_.copy(place.donor, place.sequence, place.reused);
    entry.tokens.assign(prompt.begin(), prompt.begin() + place.reused);
  } else if (entry.tokens.size() != place.reused) {
    place.reused = forget(place.sequence, place.reused);
  }
  entry.idle = false;
  entry.last_used = ++clock_;
  if (keeper_ != nullptr) {
    keeper_->note_busy(true);
    begin_fetch(place.sequence, prompt.first(std::min<size_t>(most, std::max<size_t>(prompt.size(), 1) - 1)));
    place.reused = static_cast<uint32_t>(entry.tokens.size());
  }
  return place;
}

// Of what is kept of the text after what the sequence holds of it.
void KvCache::begin_fetch(uint32_t sequence, std::span<const int32_t> text) {
  Entry& entry = entries_[sequence];
  entry.text.assign(text.begin(), text.end());
  auto fetch = keeper_->fetch(entry.text, static_cast<uint32_t>(entry.tokens.size()));
  if (fetch == nullptr) {
    return;
  }
  if (fetch->from() >= entry.tokens.size() || forget(sequence, fetch->from()) == fetch->from()) {
    entry.fetch = std::move(fetch);
  }
}

uint32_t KvCache::fetch_next(uint32_t sequence) {
  Entry& entry = entries_[sequence];
  const size_t held = entry.tokens.size();
  if (!load_next(sequence)) {
    entry.fetch.reset();
  }
  return static_cast<uint32_t>(entry.tokens.size() - std::min(held, entry.tokens.size()));
}

// False when there is no more to come.
bool KvCache::load_next(uint32_t sequence) {
  Entry& entry = entries_[sequence];
  const uint32_t count = entry.fetch->next();
  const auto held = static_cast<uint32_t>(entry.tokens.size());
  if (!make_room(count)) {
    return false;
  }
  if (!entry.fetch->load(sequence)) {
    forget(sequence, held);
    return false;
  }
  append(sequence, std::span<const int32_t>(entry.text).subspan(held, count));
  return entry.fetch->next() > 0;
}

void KvCache::release(uint32_t sequence) {
  entries_[sequence].fetch.reset();
  entries_[sequence].idle = true;
  entries_[sequence].last_used = ++clock_;
  if (keeper_ != nullptr && idle() == sequences()) {
    keeper_->note_busy(false);
  }
}

KvKeeper::Kept KvCache::keep_some(bool wait) {
  while (keeper_ != nullptr) {
    uint32_t latest = sequences();
    for (uint32_t i = 0; i < sequences(); ++i) {
      const bool wanted = entries_[i].idle && entries_[i].kept < entries_[i].tokens.size();
      latest = wanted && (latest == sequences() || entries_[i].last_used > entries_[latest].last_used) ? i : latest;
    }
    if (latest == sequences()) {
      break;
    }
    const KvKeeper::Kept kept = keeper_->keep(latest, entries_[latest].tokens, entries_[latest].kept, wait);
    if (kept != KvKeeper::Kept::kAll) {
      return kept;
    }
  }
  return KvKeeper::Kept::kAll;
}

void KvCache::keep_rest() {
  const auto until = std::chrono::steady_clock::now() + kLongestKeeping;
  while (keep_some(true) == KvKeeper::Kept::kOne && std::chrono::steady_clock::now() < until) {
  }
}

void KvCache::append(uint32_t sequence, std::span<const int32_t> tokens) {
  Entry& it = entries_[sequence];
  it.tokens.insert(it.tokens.end(), tokens.begin(), tokens.end());
  books_.append(sequence, static_cast<uint32_t>(tokens.size()));
  if (keeper_ != nullptr && it.tokens.size() - it.kept >= keeper_->stride()) {
    keeper_->keep(sequence, it.tokens, it.kept, true);
  }
}

uint32_t KvCache::cut(uint32_t sequence, uint32_t count) {
  return forget(sequence, count);
}

bool KvCache::make_room(uint32_t count) {
  while (free_cells() < count) {
    const std::optional<uint32_t> sequence = least_worth(views());
    if (!sequence) {
      return false;
    }
    const uint32_t wanted = std::max(count - free_cells(), kTakenBack);
    const uint32_t own = books_.held(*sequence) - books_.shared(*sequence);
    forget(*sequence, own > wanted ? books_.held(*sequence) - wanted : 0);
  }
  return true;
}

// All that a sequence loses, it loses here.
uint32_t KvCache::forget(uint32_t sequence, uint32_t count) {
  Entry& it = entries_[sequence];
  if (keeper_ != nullptr && it.idle && count < it.tokens.size() && it.kept < it.tokens.size()) {
    keeper_->losing(sequence, it.tokens, std::max(count, it.kept));
  }
  const uint32_t left = memory_.cut(sequence, count);
  if (left < it.tokens.size()) {
    it.fetch.reset();  // what it has follows these tokens
  }
  books_.cut(sequence, left);
  it.tokens.resize(left);
  it.kept = std::min(it.kept, left);
  if (told_) {
    told_(sequence, left);
  }
  return left;
}

}  // namespace hypura
