#include "kv/kv_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <tuple>

#include "support/atomic_file.h"
#include "support/cache_folder.h"
#include "support/fail.h"
#include "support/fnv.h"
#include "support/units.h"

namespace hypura {

namespace fs = std::filesystem;
using KvJson = nlohmann::json;

std::string KvIdentity::text() const {
  return fmt::format("{}\n{}\n{}\n{}\n", model, fingerprint, build, way);
}

std::string kv_folder_name(const KvIdentity& identity) {
  return fmt::format("{:016x}", fnv1a(identity.text()));
}

KvAbout read_kv_about(const fs::path& folder) {
  std::ifstream file(folder / "about.json");
  const KvJson json = KvJson::parse(file, nullptr, false);
  KvAbout about;
  if (!json.is_object()) {
    return about;
  }
  const auto text = [&](const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  about.identity = {text("model"), text("fingerprint"), text("build"), text("way")};
  if (const auto hits = json.find("hits"); hits != json.end() && hits->is_object()) {
    for (const auto& [name, count] : hits->items()) {
      about.hits[name] = count.is_number_unsigned() ? count.get<uint64_t>() : 0;
    }
  }
  return about;
}

Status write_kv_about(const fs::path& folder, const KvIdentity& identity, const std::map<std::string, uint64_t>& hits) {
  const KvJson json = {{"model", identity.model},
                       {"fingerprint", identity.fingerprint},
                       {"build", identity.build},
                       {"way", identity.way},
                       {"hits", hits}};
  std::error_code unsupported;  // by the file system; files are the user's only anyway
  fs::create_directories(folder, unsupported);
  fs::permissions(folder, fs::perms::owner_all, unsupported);
  return write_file_atomically(folder / "about.json",
                               json.dump(2, ' ', false, KvJson::error_handler_t::replace) + "\n");
}

std::vector<KvFolderFile> kv_files(const fs::path& folder) {
  std::vector<KvFolderFile> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const auto name = parse_kv_file_name(it->path().filename().string());
    std::error_code gone;
    const uint64_t bytes = name ? it->file_size(gone) : 0;
    const auto used = name && !gone ? it->last_write_time(gone) : fs::file_time_type();
    if (name && !gone) {
      files.push_back({*name, bytes, used});
    }
  }
  return files;
}

Result<fs::path> kv_root() {
  const auto cache = cache_folder();
  if (!cache) {
    return fail(ErrorCode::kIo, "no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path");
  }
  return *cache / "kv";
}

uint64_t default_kv_disk(const fs::path& root) {
  constexpr uint64_t kShare = 10;
  fs::path there = root;
  std::error_code error;
  while (!fs::exists(there, error) && there.has_relative_path()) {
    there = there.parent_path();
  }
  const fs::space_info space = fs::space(there, error);
  uint64_t bytes = error ? 0 : space.available;
  for (const KvFolder& it : list_kv(root)) {
    bytes += it.bytes;
  }
  return std::min(bytes / kShare, 64 * kGiB);
}

std::vector<KvFolder> list_kv(const fs::path& root) {
  std::vector<KvFolder> folders;
  std::error_code error;
  for (fs::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    KvFolder folder;
    folder.folder = it->path();
    folder.identity = read_kv_about(it->path()).identity;
    // Nothing is taken for ours by its place alone.
    if (folder.identity.model.empty() || kv_folder_name(folder.identity) != it->path().filename()) {
      continue;
    }
    for (const KvFolderFile& file : kv_files(folder.folder)) {
      ++folder.entries;
      folder.bytes += file.bytes;
      folder.used = std::max(folder.used, file.used);
    }
    folders.push_back(std::move(folder));
  }
  std::ranges::sort(folders, [](const KvFolder& a, const KvFolder& b) {
    return std::tie(b.used, a.folder) < std::tie(a.used, b.folder);
  });
  return folders;
}

Status remove_kv(const std::vector<KvFolder>& folders) {
  for (const KvFolder& it : folders) {
    std::error_code error;
    fs::remove_all(it.folder, error);
    if (error) {
      return fail(ErrorCode::kIo, "{} cannot be removed: {}", it.folder.string(), error.message());
    }
  }
  return {};
}

}  // namespace hypura
