// Entries on disk, in a folder for each model and each way to compute it, all within one number of bytes.
//
//   ROOT/IDENTITY/about.json      whose they are, and how often each was used
//   ROOT/IDENTITY/KEY-FROM-END.kv one entry; when it was used last is the file's time of change
//
// Several processes may use one root: each sees files of the others that it asks for by name, and takes one that is
// gone for one that never was.
//
// Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "hypura/result.h"
#include "kv/kv_entry.h"
#include "kv/kv_file.h"

namespace hypura {

// Whose keys and values they are. What another model's file, another build or another way to compute gives is never
// mixed with it.
struct KvIdentity {
  std::string model;        // path of the model's first file
  std::string fingerprint;  // of what is in it
  std::string build;        // of the programs that compute
  std::string way;          // all else that the bytes depend on: "q8_0, streamed, ..."

  std::string text() const;
};

struct KvDiskStats {
  uint64_t entries = 0;  // of this identity
  uint64_t bytes = 0;    // of these
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t evicted = 0;  // entries, of any identity
  uint64_t damaged = 0;  // files that were found so, and removed
};

// How much an entry is worth: tokens that need not be computed again, more where they were used more often and more
// lately, for a byte.
struct KvWorth {
  uint32_t from = 0;
  uint32_t end = 0;
  uint64_t bytes = 0;
  uint64_t hits = 0;
  std::chrono::hours age{0};
};
// Whether `a` goes before `b`. Of two of a kind the later part of a text, which is of use only with the earlier one.
bool goes_before(const KvWorth& a, const KvWorth& b);

class KvDisk {
 public:
  // Takes over what is there of this identity. Removes what other files under the same model's path, other builds and
  // models that are gone have left. `most`: bytes of all identities. Fails with kIo when the folder cannot be made.
  static Result<std::unique_ptr<KvDisk>> open(const std::filesystem::path& root, const KvIdentity& identity,
                                              uint64_t most);
  // Saves how often entries were used.
  ~KvDisk();
  KvDisk(const KvDisk&) = delete;
  KvDisk& operator=(const KvDisk&) = delete;

  // Bytes of the entry's file; 0: there is none.
  uint64_t find(const KvFileName& name);
  std::vector<KvFileName> names() const;

  // Fails as read_kv_file(); a damaged file is removed.
  Result<KvEntry> read(const KvFileName& name);

  // Makes room first. False when it is worth less than all that is there; fails with kIo.
  Result<bool> write(const KvEntry& entry);

  KvDiskStats stats() const;

 private:
  struct Known {
    uint64_t bytes = 0;
    uint64_t hits = 0;
    std::filesystem::file_time_type used;
  };
  struct ByName {
    bool operator()(const KvFileName& a, const KvFileName& b) const {
      return std::tie(a.key, a.from, a.end) < std::tie(b.key, b.from, b.end);
    }
  };
  struct Candidate;

  KvDisk(std::filesystem::path root, std::filesystem::path folder, KvIdentity identity, uint64_t most);
  void adopt();
  void drop_stale();
  std::map<std::string, uint64_t> hits() const;
  std::vector<Candidate> candidates() const;
  bool make_room(const KvEntry& entry);
  void forget(const KvFileName& name);

  const std::filesystem::path root_;
  const std::filesystem::path folder_;
  const KvIdentity identity_;
  const uint64_t most_;

  mutable std::mutex mutex_;  // guards what follows
  std::map<KvFileName, Known, ByName> known_;
  uint64_t total_ = 0;  // bytes of all identities when they were last counted, and what was written since
  KvDiskStats stats_;
};

// One identity's folder, for people.
struct KvFolder {
  std::filesystem::path folder;
  KvIdentity identity;
  uint64_t entries = 0;
  uint64_t bytes = 0;
  std::filesystem::file_time_type used = std::filesystem::file_time_type::min();  // last
};

// The folder in the user's cache folder that all is under. Fails with kIo when there is none.
Result<std::filesystem::path> kv_root();

// What is used where nobody says how much: a tenth of what is free there, with what is there already, but no more than
// 64 GiB.
uint64_t default_kv_disk(const std::filesystem::path& root);

// All under the root, the one used last first. No folder is no error.
std::vector<KvFolder> list_kv(const std::filesystem::path& root);

// Removes those folders' files. Fails with kIo, naming what cannot be removed.
Status remove_kv(const std::vector<KvFolder>& folders);

}  // namespace hypura
