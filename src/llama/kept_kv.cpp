#include "llama/kept_kv.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "support/elapsed.h"

namespace hypura {

namespace {

// How much the last fetch counts in the disk's rate.
constexpr double kLastFetch = 0.5;

}  // namespace

class KeptKv::Fetch final : public KvFetch {
 public:
  Fetch(KeptKv& kept, std::vector<KvFound> entries, std::span<const int32_t> text)
      : kept_(kept), entries_(std::move(entries)), ahead_(*kept.store_, entries_, text) {}

  uint32_t from() const override { return entries_.front().name.from; }

  uint32_t next() const override {
    return done_ == entries_.size() ? 0 : entries_[done_].name.end - entries_[done_].name.from;
  }

  bool load(uint32_t sequence) override {
    const KvFound& found = entries_[done_++];
    const auto start = std::chrono::steady_clock::now();
    const auto entry = ahead_.next();
    const bool loaded = entry != nullptr && kept_.states_.load(sequence, found.name.from, found.name.end, entry->state);
    if (loaded) {
      kept_.note_fetched(found.disk_bytes, seconds_since(start), found.name.end - found.name.from);
    }
    return loaded;
  }

 private:
  KeptKv& kept_;
  std::vector<KvFound> entries_;
  KvReadAhead ahead_;
  size_t done_ = 0;
};

KeptKv::KeptKv(KvStates& states, std::unique_ptr<KvStore> store, KeptKvSpeeds speeds)
    : states_(states),
      store_(std::move(store)),
      speeds_(std::move(speeds)),
      disk_bytes_per_second_(std::max(speeds_.disk_bytes_per_second, 1.0)) {}

// Whether so many bytes are there sooner than tokens `from` to `end` are computed.
bool KeptKv::pays(uint64_t host_bytes, uint64_t disk_bytes, uint32_t from, uint32_t end) const {
  const double fetching =
      static_cast<double>(host_bytes) / kHostBytesPerSecond + static_cast<double>(disk_bytes) / disk_bytes_per_second_;
  return fetching < speeds_.prompt_seconds(end - from);
}

std::unique_ptr<KvFetch> KeptKv::fetch(std::span<const int32_t> text, uint32_t held) {
  std::vector<KvFound> entries;
  if (states_.parts() == KvStates::Parts::kAny) {
    entries = store_->blocks(text, held / kKvBlockTokens * kKvBlockTokens);
  } else {
    entries = store_->chain(text, held);
    entries = entries.empty() ? store_->chain(text, 0) : std::move(entries);
  }
  if (entries.empty() || entries.back().name.end <= held) {
    return nullptr;
  }
  uint64_t host = 0;
  uint64_t disk = 0;
  for (const KvFound& it : entries) {
    host += it.host_bytes;
    disk += it.disk_bytes;
  }
  if (!pays(host, disk, held, entries.back().name.end)) {
    return nullptr;
  }
  return std::make_unique<Fetch>(*this, std::move(entries), text);
}

void KeptKv::losing(uint32_t sequence, std::span<const int32_t> tokens, uint32_t left) {
  uint32_t done = left;
  while (keep(sequence, tokens, done, true) == Kept::kOne) {
  }
}

KvKeeper::Kept KeptKv::keep(uint32_t sequence, std::span<const int32_t> tokens, uint32_t& done, bool wait) {
  const auto end = static_cast<uint32_t>(tokens.size());
  const std::optional<uint32_t> from = next_entry(tokens, done);
  const uint32_t its_end = states_.parts() == KvStates::Parts::kAny ? from.value_or(0) + kKvBlockTokens : end;
  const Kept kept = from ? keep_entry(sequence, tokens.first(its_end), *from, wait) : Kept::kAll;
  done = kept == Kept::kOne ? its_end : kept == Kept::kAll ? end : done;
  return kept;
}

// Where the next entry begins that the store has not. A state is not worth one for a few tokens.
std::optional<uint32_t> KeptKv::next_entry(std::span<const int32_t> tokens, uint32_t done) {
  if (states_.parts() == KvStates::Parts::kAny) {
    return store_->first_missing_block(tokens, done);
  }
  const std::vector<KvFound> stored = store_->chain(tokens, 0);
  const uint32_t end = stored.empty() ? 0 : stored.back().name.end;
  const bool worth_it = done < tokens.size() && tokens.size() >= end + kKvBlockTokens;
  return !worth_it ? std::nullopt : std::optional(states_.parts() == KvStates::Parts::kWhole ? 0 : end);
}

uint32_t KeptKv::stride() const {
  return states_.parts() == KvStates::Parts::kLast ? kKvStride : UINT32_MAX;
}

// The entry of tokens `from` to the end of `text`. kAll too where it cannot be kept, nor then what follows it.
KvKeeper::Kept KeptKv::keep_entry(uint32_t sequence, std::span<const int32_t> text, uint32_t from, bool wait) {
  const auto end = static_cast<uint32_t>(text.size());
  KvEntry entry{store_->key(text), from, {text.begin(), text.end()}, states_.save(sequence, from, end)};
  if (entry.state.empty() || !pays(0, entry.bytes(), from, end)) {
    return Kept::kAll;
  }
  switch (store_->put(std::move(entry), wait)) {
    case KvStore::Put::kDone:
      return Kept::kOne;
    case KvStore::Put::kLater:
      return Kept::kLater;
    case KvStore::Put::kNever:
      break;
  }
  return Kept::kAll;
}

void KeptKv::note_fetched(uint64_t disk_bytes, double seconds, uint32_t tokens) {
  restored_tokens_ += tokens;
  if (disk_bytes > 0 && seconds > 0) {
    const double rate = static_cast<double>(disk_bytes) / seconds;
    disk_bytes_per_second_ += kLastFetch * (rate - disk_bytes_per_second_);
  }
}

KeptKvStats KeptKv::stats() const {
  return {store_->stats(), restored_tokens_};
}

}  // namespace hypura
