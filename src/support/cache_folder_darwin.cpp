#include "support/cache_folder.h"

namespace hypura {

std::filesystem::path caches_in_home() {
  return "Library/Caches";
}

}  // namespace hypura
