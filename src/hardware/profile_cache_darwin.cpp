#include "hardware/profile_cache.h"

namespace hypura {

std::filesystem::path system_cache_folder(const std::filesystem::path& home) {
  return home / "Library" / "Caches";
}

}  // namespace hypura
