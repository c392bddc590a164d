// What lies in the folder of one identity (kv_disk.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "kv/kv_disk.h"

namespace hypura {

std::string kv_folder_name(const KvIdentity& identity);

struct KvAbout {
  KvIdentity identity;                   // all empty where the folder says nothing
  std::map<std::string, uint64_t> hits;  // by file name
};
KvAbout read_kv_about(const std::filesystem::path& folder);
// Makes the folder, for the user only. Fails with kIo.
Status write_kv_about(const std::filesystem::path& folder, const KvIdentity& identity,
                      const std::map<std::string, uint64_t>& hits);

struct KvFolderFile {
  KvFileName name;
  uint64_t bytes = 0;
  std::filesystem::file_time_type used;
};
std::vector<KvFolderFile> kv_files(const std::filesystem::path& folder);

}  // namespace hypura
