#include "backend/ggml_folder.h"

#include <dlfcn.h>

#include "ggml.h"

namespace hypura {

std::filesystem::path ggml_folder() {
  Dl_info info;
  // The address of text in the library: that of a function may be a stub of the program's.
  if (dladdr(ggml_version(), &info) == 0 || info.dli_fname == nullptr) {
    return {};
  }
  return std::filesystem::path(info.dli_fname).parent_path();
}

}  // namespace hypura
