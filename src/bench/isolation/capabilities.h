// What a benchmark may do on this system; what it may not leaves figures out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hypura {

struct Capabilities {
  bool cgroups = false;          // runs can be held to a limit
  bool drop_caches = false;      // the whole page cache can be emptied
  bool drop_file_cache = false;  // the model's pages can be taken out of it, and it can be told that they are
  bool readahead = false;        // of the disk under the model, can be set
  // For each of these that is missing: what and why.
  std::string no_cgroups;
  std::string no_drop_caches;
  std::string no_drop_file_cache;
  std::string no_readahead;
};

// Finds out by trying; nothing stays changed but the page cache. `model` is the file that will be measured.
Capabilities find_capabilities(const std::filesystem::path& model);

// A name for a cgroup that no other process uses.
std::string own_cgroup_name();

}  // namespace hypura
