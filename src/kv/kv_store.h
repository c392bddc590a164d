// Keys and values beyond the context: in a part of RAM, and from there on disk. What is put in waits in RAM until it is
// written, and stays there as long as nothing newer wants its place.
//
// A thread of the store's own writes, at the lowest priority, and only while nothing is computed or where something
// waits for the room. Any thread may call.
//
// Invariant: what get() gives has the tokens that were asked for, all of them, from the first one on.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kv/kv_disk.h"
#include "kv/kv_entry.h"

namespace hypura {

struct KvStoreStats {
  KvDiskStats disk;
  uint64_t host_entries = 0;
  uint64_t host_bytes = 0;
  uint64_t hits = 0;     // entries given
  uint64_t dropped = 0;  // entries that found no room, on either
};

// Where an entry is that has not been fetched.
struct KvFound {
  KvFileName name;
  uint64_t host_bytes = 0;  // one of the two is 0
  uint64_t disk_bytes = 0;
};

class KvStore {
 public:
  // `most`: bytes in RAM. Without a disk nothing is written.
  KvStore(KvKey identity, uint64_t most, std::unique_ptr<KvDisk> disk);
  // Writes what is not yet written, but gives up after a few seconds.
  ~KvStore();
  KvStore(const KvStore&) = delete;
  KvStore& operator=(const KvStore&) = delete;

  // The blocks of the text's beginning from `from` on, a multiple of kKvBlockTokens, one after the other as far as they
  // are there and end within the text.
  std::vector<KvFound> blocks(std::span<const int32_t> text, uint32_t from);
  // Entries of any length of the text's beginning, from `from` on, one after the other, each the longest there is.
  std::vector<KvFound> chain(std::span<const int32_t> text, uint32_t from);

  // Null when it is gone, or damaged, or is not what its name promises.
  std::shared_ptr<const KvEntry> get(const KvFound& found, std::span<const int32_t> text);

  // Where the first block begins that is not there, of those that end after `after` and within the text.
  std::optional<uint32_t> first_missing_block(std::span<const int32_t> text, uint32_t after);
  KvKey key(std::span<const int32_t> text) const { return kv_key_after(identity_, text); }

  enum class Put { kDone, kLater, kNever };
  // kLater: there is no room until something is written; with `wait` that is waited for, some seconds at most.
  Put put(KvEntry entry, bool wait);

  // Whether something is computed, beside which nothing should be written.
  void note_busy(bool busy);

  // Bytes in RAM from now on. What was used longest ago is dropped at once, or as soon as it is written.
  void set_most(uint64_t bytes);

  KvStoreStats stats() const;

 private:
  struct Held {
    std::shared_ptr<const KvEntry> entry;
    bool to_write = false;
    bool on_disk = false;
  };

  KvFileName name_of(const KvEntry& entry) const { return {entry.key, entry.from, entry.end()}; }
  std::list<Held>::iterator held(const KvFileName& name);  // the mutex is held, as for those that follow
  bool make_room(const KvEntry& entry);
  std::list<Held>::iterator drop(std::list<Held>::iterator it);
  void keep_to_most();
  std::optional<KvFound> find(const KvFileName& name);
  bool has_to_write() const;
  void write_all();

  const KvKey identity_;
  const std::unique_ptr<KvDisk> disk_;

  mutable std::mutex mutex_;  // guards what follows
  uint64_t most_;
  std::condition_variable changed_;
  std::list<Held> held_;  // the one used last at the end
  KvStoreStats stats_;
  bool busy_ = false;
  uint32_t waiting_ = 0;  // for room
  bool closing_ = false;
  bool complained_ = false;  // that nothing can be written; once

  std::thread writer_;  // last; none without a disk
};

// Fetches entries one after the other, each while the one before is used.
class KvReadAhead {
 public:
  // `text` must outlive the object.
  KvReadAhead(KvStore& store, std::vector<KvFound> entries, std::span<const int32_t> text);
  ~KvReadAhead();
  KvReadAhead(const KvReadAhead&) = delete;
  KvReadAhead& operator=(const KvReadAhead&) = delete;

  // The next; null when that is not to be had, or there is none.
  std::shared_ptr<const KvEntry> next();

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace hypura
