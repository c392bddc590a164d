#include "kv/kv_store.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <iterator>
#include <utility>

#include "kv/low_priority.h"
#include "support/log.h"

namespace hypura {

namespace {

using std::chrono_literals::operator""s;

// That the passes wait for something to be written, and the end of the program.
constexpr auto kLongestWait = 10s;

}  // namespace

KvStore::KvStore(KvKey identity, uint64_t most, std::unique_ptr<KvDisk> disk)
    : identity_(identity), disk_(std::move(disk)), most_(most) {
  if (disk_ != nullptr) {
    writer_ = std::thread([this] { write_all(); });
  }
}

KvStore::~KvStore() {
  if (!writer_.joinable()) {
    return;
  }
  {
    std::unique_lock lock(mutex_);
    busy_ = false;
    changed_.notify_all();
    changed_.wait_for(lock, kLongestWait, [this] { return !has_to_write(); });
    closing_ = true;
    changed_.notify_all();
  }
  writer_.join();
}

std::list<KvStore::Held>::iterator KvStore::held(const KvFileName& name) {
  return std::ranges::find_if(held_, [&](const Held& one) { return name_of(*one.entry) == name; });
}

std::optional<KvFound> KvStore::find(const KvFileName& name) {
  if (const auto it = held(name); it != held_.end()) {
    return KvFound{name, it->entry->bytes(), 0};
  }
  const uint64_t bytes = disk_ == nullptr ? 0 : disk_->find(name);
  return bytes == 0 ? std::nullopt : std::optional(KvFound{name, 0, bytes});
}

std::vector<KvFound> KvStore::blocks(std::span<const int32_t> text, uint32_t from) {
  std::vector<KvFound> found;
  const std::lock_guard lock(mutex_);
  KvKey key = kv_key_after(identity_, text.first(std::min<size_t>(from, text.size())));
  while (from + kKvBlockTokens <= text.size()) {
    key = kv_key_after(key, text.subspan(from, kKvBlockTokens));
    const auto block = find({key, from, from + kKvBlockTokens});
    if (!block) {
      break;
    }
    found.push_back(*block);
    from += kKvBlockTokens;
  }
  return found;
}

std::vector<KvFound> KvStore::chain(std::span<const int32_t> text, uint32_t from) {
  std::vector<KvFileName> names = disk_ == nullptr ? std::vector<KvFileName>() : disk_->names();
  const std::lock_guard lock(mutex_);
  for (const Held& it : held_) {
    names.push_back(name_of(*it.entry));
  }
  std::erase_if(names, [&](const KvFileName& it) { return it.end > text.size(); });
  std::ranges::sort(names, std::ranges::greater(), &KvFileName::end);
  std::vector<KvFound> found;
  for (bool more = true; more;) {
    more = false;
    for (auto it = names.begin(); !more && it != names.end(); ++it) {
      const auto entry = it->from == from && it->key == key(text.first(it->end)) ? find(*it) : std::nullopt;
      if (entry) {
        found.push_back(*entry);
        from = it->end;
        more = true;
      }
    }
  }
  return found;
}

std::shared_ptr<const KvEntry> KvStore::get(const KvFound& found, std::span<const int32_t> text) {
  std::shared_ptr<const KvEntry> entry;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = held(found.name); it != held_.end()) {
      entry = it->entry;
      held_.splice(held_.end(), held_, it);
    }
  }
  if (entry == nullptr && disk_ != nullptr) {
    auto read = disk_->read(found.name);
    entry = read ? std::make_shared<const KvEntry>(std::move(*read)) : nullptr;
  }
  if (entry == nullptr || found.name.end > text.size() || !entry->is_of(text.first(found.name.end), found.name.from)) {
    return nullptr;
  }
  const std::lock_guard lock(mutex_);
  ++stats_.hits;
  return entry;
}

std::optional<uint32_t> KvStore::first_missing_block(std::span<const int32_t> text, uint32_t after) {
  const std::lock_guard lock(mutex_);
  KvKey key = identity_;
  for (uint32_t from = 0; from + kKvBlockTokens <= text.size(); from += kKvBlockTokens) {
    key = kv_key_after(key, text.subspan(from, kKvBlockTokens));
    if (from + kKvBlockTokens > after && !find({key, from, from + kKvBlockTokens})) {
      return from;
    }
  }
  return std::nullopt;
}

// Gives up what is on disk or will never be, the one unused for longest first; but nothing that the entry is of no use
// without. False where that is not enough.
bool KvStore::make_room(const KvEntry& entry) {
  const auto is_before = [&](const KvEntry& it) {
    return it.end() < entry.end() && std::ranges::equal(it.tokens, std::span(entry.tokens).first(it.end()));
  };
  for (auto it = held_.begin(); stats_.host_bytes + entry.bytes() > most_ && it != held_.end();) {
    if (it->to_write || (!it->on_disk && is_before(*it->entry))) {
      ++it;
      continue;
    }
    it = drop(it);
  }
  return stats_.host_bytes + entry.bytes() <= most_;
}

std::list<KvStore::Held>::iterator KvStore::drop(std::list<Held>::iterator it) {
  stats_.host_bytes -= it->entry->bytes();
  --stats_.host_entries;
  return held_.erase(it);
}

void KvStore::keep_to_most() {
  for (auto it = held_.begin(); stats_.host_bytes > most_ && it != held_.end();) {
    it = it->to_write ? std::next(it) : drop(it);
  }
}

void KvStore::set_most(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  most_ = bytes;
  keep_to_most();
}

KvStore::Put KvStore::put(KvEntry entry, bool wait) {
  const uint64_t bytes = entry.bytes();
  std::unique_lock lock(mutex_);
  bool room = bytes <= most_ && make_room(entry);
  if (!room && (bytes > most_ || !has_to_write())) {
    ++stats_.dropped;
    return Put::kNever;
  }
  if (!room && wait) {
    ++waiting_;
    changed_.notify_all();
    room =
        changed_.wait_for(lock, kLongestWait, [&] { return make_room(entry) || !has_to_write(); }) && make_room(entry);
    --waiting_;
  }
  if (!room) {
    stats_.dropped += wait ? 1 : 0;
    return Put::kLater;
  }
  held_.push_back({std::make_shared<const KvEntry>(std::move(entry)), disk_ != nullptr});
  stats_.host_bytes += bytes;
  ++stats_.host_entries;
  changed_.notify_all();
  return Put::kDone;
}

void KvStore::note_busy(bool busy) {
  const std::lock_guard lock(mutex_);
  busy_ = busy;
  changed_.notify_all();
}

bool KvStore::has_to_write() const {
  return std::ranges::any_of(held_, &Held::to_write);
}

// The writer's thread.
void KvStore::write_all() {
  lower_disk_priority();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || ((!busy_ || waiting_ > 0) && has_to_write()); });
    if (closing_) {
      return;
    }
    const auto entry = std::ranges::find_if(held_, &Held::to_write)->entry;
    lock.unlock();
    const auto written = disk_->write(*entry);
    lock.lock();
    if (!written && !std::exchange(complained_, true)) {
      logger().warn("conversations are not kept on disk: {}", written.error().message);
    }
    complained_ = complained_ && !written;
    const auto it = std::ranges::find_if(held_, [&](const Held& one) { return one.entry == entry; });
    if (it != held_.end()) {
      it->to_write = false;
      it->on_disk = written.value_or(false);
    }
    stats_.dropped += written.value_or(false) ? 0 : 1;
    keep_to_most();
    changed_.notify_all();
  }
}

KvStoreStats KvStore::stats() const {
  const std::lock_guard lock(mutex_);
  KvStoreStats stats = stats_;
  stats.disk = disk_ == nullptr ? KvDiskStats() : disk_->stats();
  return stats;
}

struct KvReadAhead::Work {
  KvStore& store;
  std::vector<KvFound> entries;
  std::span<const int32_t> text;
  size_t begun = 0;
  std::future<std::shared_ptr<const KvEntry>> coming = {};

  void begin() {
    if (begun < entries.size()) {
      coming = std::async(std::launch::async, [this, found = entries[begun]] { return store.get(found, text); });
      ++begun;
    }
  }
};

KvReadAhead::KvReadAhead(KvStore& store, std::vector<KvFound> entries, std::span<const int32_t> text)
    : work_(new Work{store, std::move(entries), text}) {
  work_->begin();
}

KvReadAhead::~KvReadAhead() = default;

std::shared_ptr<const KvEntry> KvReadAhead::next() {
  if (!work_->coming.valid()) {
    return nullptr;
  }
  auto entry = work_->coming.get();
  work_->begin();
  return entry;
}

}  // namespace hypura
