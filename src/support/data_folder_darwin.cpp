#include "support/data_folder.h"

namespace hypura {

std::filesystem::path data_in_home() {
  return "Library/Application Support";
}

}  // namespace hypura
