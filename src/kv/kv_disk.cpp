#include "kv/kv_disk.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "kv/kv_folder.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace fs = std::filesystem;

struct KvDisk::Candidate {
  fs::path path;
  KvFileName name;
  bool ours = false;
  KvWorth worth;
};

bool goes_before(const KvWorth& a, const KvWorth& b) {
  const auto worth = [](const KvWorth& it) {
    const double uses = 1 + static_cast<double>(it.hits);
    const double rest =
        (1 + static_cast<double>(it.age.count())) * static_cast<double>(std::max<uint64_t>(it.bytes, 1));
    return static_cast<double>(it.end - it.from) * uses / rest;
  };
  const double of_a = worth(a);
  const double of_b = worth(b);
  return of_a != of_b ? of_a < of_b : a.end > b.end;
}

Result<std::unique_ptr<KvDisk>> KvDisk::open(const fs::path& root, const KvIdentity& identity, uint64_t most) {
  const fs::path folder = root / kv_folder_name(identity);
  std::unique_ptr<KvDisk> disk(new KvDisk(root, folder, identity, most));
  disk->drop_stale();
  disk->adopt();
  if (Status status = write_kv_about(folder, identity, disk->hits()); !status) {
    return propagate(status.error());
  }
  return disk;
}

KvDisk::KvDisk(fs::path root, fs::path folder, KvIdentity identity, uint64_t most)
    : root_(std::move(root)), folder_(std::move(folder)), identity_(std::move(identity)), most_(most) {}

KvDisk::~KvDisk() {
  static_cast<void>(write_kv_about(folder_, identity_, hits()));  // only what goes first depends on it
}

// By file name, of entries that were used.
std::map<std::string, uint64_t> KvDisk::hits() const {
  std::map<std::string, uint64_t> hits;
  for (const auto& [name, known] : known_) {
    if (known.hits > 0) {
      hits.emplace(to_string(name), known.hits);
    }
  }
  return hits;
}

// Counts what stays.
void KvDisk::drop_stale() {
  for (const KvFolder& it : list_kv(root_)) {
    const bool same_model = it.identity.model == identity_.model;
    std::error_code unknown;
    const bool changed =
        same_model && (it.identity.fingerprint != identity_.fingerprint || it.identity.build != identity_.build);
    const bool gone = !same_model && !fs::exists(it.identity.model, unknown) && !unknown;
    const bool removed = (changed || gone) && remove_kv({it});
    total_ += removed ? 0 : it.bytes;
  }
}

void KvDisk::adopt() {
  const auto hits = read_kv_about(folder_).hits;
  for (const KvFolderFile& it : kv_files(folder_)) {
    const auto uses = hits.find(to_string(it.name));
    known_[it.name] = {it.bytes, uses == hits.end() ? 0 : uses->second, it.used};
    stats_.bytes += it.bytes;
  }
  stats_.entries = known_.size();
}

uint64_t KvDisk::find(const KvFileName& name) {
  const std::lock_guard lock(mutex_);
  const auto it = known_.find(name);
  if (it != known_.end()) {
    return it->second.bytes;
  }
  std::error_code missing;  // another process may have written it
  const fs::path path = folder_ / to_string(name);
  const uint64_t bytes = fs::file_size(path, missing);
  if (missing) {
    return 0;
  }
  known_[name] = {bytes, 0, fs::file_time_type::clock::now()};
  ++stats_.entries;
  stats_.bytes += bytes;
  return bytes;
}

std::vector<KvFileName> KvDisk::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<KvFileName> names;
  for (const auto& [name, known] : known_) {
    names.push_back(name);
  }
  return names;
}

void KvDisk::forget(const KvFileName& name) {
  const auto it = known_.find(name);
  if (it != known_.end()) {
    stats_.bytes -= it->second.bytes;
    --stats_.entries;
    known_.erase(it);
  }
}

Result<KvEntry> KvDisk::read(const KvFileName& name) {
  const fs::path path = folder_ / to_string(name);
  auto entry = read_kv_file(path, name);
  const std::lock_guard lock(mutex_);
  std::error_code ignored;
  if (!entry) {
    const bool damaged = entry.error().code == ErrorCode::kBadModel;
    stats_.damaged += damaged ? 1 : 0;
    if (damaged) {
      logger().warn("{}; it is removed, and its tokens are computed anew", entry.error().message);
      fs::remove(path, ignored);
    }
    forget(name);
    return entry;
  }
  stats_.read_bytes += kv_file_bytes(*entry);
  const auto it = known_.find(name);
  if (it != known_.end()) {
    ++it->second.hits;
    it->second.used = fs::file_time_type::clock::now();
    fs::last_write_time(path, it->second.used, ignored);
  }
  return entry;
}

Result<bool> KvDisk::write(const KvEntry& entry) {
  const KvFileName name{entry.key, entry.from, entry.end()};
  if (find(name) > 0) {
    return true;
  }
  if (!make_room(entry)) {
    return false;
  }
  const fs::path path = folder_ / to_string(name);
  std::error_code missing;  // cleared meanwhile, perhaps
  Status status = fs::exists(folder_, missing) ? Status() : write_kv_about(folder_, identity_, {});
  status = status ? write_kv_file(path, entry) : std::move(status);
  if (!status) {
    return find(name) > 0 ? Result<bool>(true) : propagate(status.error());  // another process was at it
  }
  const std::lock_guard lock(mutex_);
  forget(name);
  known_[name] = {kv_file_bytes(entry), 0, fs::file_time_type::clock::now()};
  ++stats_.entries;
  stats_.bytes += kv_file_bytes(entry);
  stats_.written_bytes += kv_file_bytes(entry);
  total_ += kv_file_bytes(entry);
  return true;
}

// All files under the root, other processes' too.
std::vector<KvDisk::Candidate> KvDisk::candidates() const {
  const auto now = fs::file_time_type::clock::now();
  std::vector<Candidate> all;
  for (const KvFolder& folder : list_kv(root_)) {
    const bool ours = folder.folder == folder_;
    for (const KvFolderFile& it : kv_files(folder.folder)) {
      Candidate candidate{folder.folder / to_string(it.name), it.name, ours, {it.name.from, it.name.end, it.bytes}};
      const auto known = ours ? known_.find(it.name) : known_.end();
      candidate.worth.hits = known == known_.end() ? 0 : known->second.hits;
      candidate.worth.age = std::chrono::duration_cast<std::chrono::hours>(std::max(now - it.used, {}));
      all.push_back(std::move(candidate));
    }
  }
  return all;
}

// Removes what is worth least, as long as that is less than the entry is.
bool KvDisk::make_room(const KvEntry& entry) {
  const uint64_t bytes = kv_file_bytes(entry);
  const std::lock_guard lock(mutex_);
  if (total_ + bytes <= most_) {
    return true;
  }
  std::vector<Candidate> all = candidates();
  total_ = 0;
  for (const Candidate& it : all) {
    total_ += it.worth.bytes;
  }
  std::ranges::sort(all, [](const Candidate& a, const Candidate& b) { return goes_before(a.worth, b.worth); });
  const KvWorth its_own{entry.from, entry.end(), bytes};
  for (auto it = all.begin(); total_ + bytes > most_ && it != all.end(); ++it) {
    if (!goes_before(it->worth, its_own)) {
      return false;
    }
    std::error_code failed;
    if (fs::remove(it->path, failed) || !failed) {
      total_ -= it->worth.bytes;
      ++stats_.evicted;
    }
    if (it->ours) {
      forget(it->name);
    }
  }
  return total_ + bytes <= most_;
}

KvDiskStats KvDisk::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace hypura
