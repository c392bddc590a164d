#include "backend/gpu/devices/gpu_backends.h"

#include <dlfcn.h>

#include <algorithm>

#include "backend/ggml_folder.h"
#include "backend/gpu/devices/gpu_list.h"
#include "ggml-backend.h"
#include "model/ggml_log.h"

namespace hypura {

namespace {

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(" \n.") + 1);
  return line;
}

ggml_backend_reg_t registered(std::string_view name) {
  for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
    if (backend_name(ggml_backend_reg_get(i)) == name) {
      return ggml_backend_reg_get(i);
    }
  }
  return nullptr;
}

std::filesystem::path find_library(std::string_view name) {
  const std::filesystem::path folder = ggml_folder();
  for (const std::filesystem::path& path : {folder / "gpu" / name, folder / name}) {
    std::error_code error;
    if (!name.empty() && std::filesystem::exists(path, error)) {
      return path;
    }
  }
  return {};
}

// More than a library of ggml's needs of others, and than these need of each other.
constexpr int kMostTries = 8;

// Empty when it is open, else the linker's reason. What it needs and the linker does not find is looked for in
// gpu_library_folders() too, and opened before it: the linker takes that for what it looks for.
std::string open_library(const std::filesystem::path& library, int tries = kMostTries) {
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) {
    return {};
  }
  const char* reason = dlerror();
  std::string error = reason == nullptr ? "no reason given" : reason;
  const std::string missing = missing_library(error);
  const bool found = !missing.empty() && tries > 0 && std::ranges::any_of(gpu_library_folders(), [&](auto folder) {
    return open_library(std::filesystem::path(folder) / missing, tries - 1).empty();
  });
  return found ? open_library(library, tries - 1) : error;
}

// The file that a backend's code is in.
std::filesystem::path file_of(ggml_backend_reg_t reg) {
  Dl_info info{};
  void* function = ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features");
  return function != nullptr && dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

std::vector<UnusableGpu> unusable_of(ggml_backend_reg_t reg, const std::filesystem::path& library) {
  const auto driver = backend_name(reg) == "CUDA" ? cuda_driver() : nullptr;
  return driver == nullptr ? std::vector<UnusableGpu>() : unusable_gpus(*driver, smallest_cuda_code(library));
}

LoadedGpuBackend load(const GpuBackend& backend) {
  LoadedGpuBackend result;
  if (ggml_backend_reg_t reg = registered(backend.name); reg != nullptr) {
    result.loaded = true;
    result.devices = ggml_backend_reg_dev_count(reg);
    result.unusable = unusable_of(reg, file_of(reg));
  } else if (const std::filesystem::path library = find_library(backend.library); !library.empty()) {
    return load_gpu_library(backend.name, library);
  }
  result.name = backend.name;
  return result;
}

}  // namespace

std::string missing_library(std::string_view error) {
  const size_t colon = error.find(": cannot open shared object file");
  const std::string_view name = error.substr(0, colon);
  return colon == std::string_view::npos || name.find('/') != std::string_view::npos ? std::string()
                                                                                     : std::string(name);
}

LoadedGpuBackend load_gpu_library(std::string_view name, const std::filesystem::path& library) {
  LoadedGpuBackend result;
  result.name = name;
  result.library = library;
  // ggml would tell the linker's reason in its log alone. It opens what is open then; nothing is closed again, since
  // drivers have threads of their own.
  result.error = open_library(library);
  result.missing_library = missing_library(result.error);
  if (!result.error.empty()) {
    return result;
  }
  const GgmlLogCapture log(GgmlLogCapture::Rest::kLogged);  // a backend tells in no other way why it found nothing
  ggml_backend_reg_t reg = ggml_backend_load(library.c_str());
  result.error = trimmed(log.first_error());
  result.loaded = reg != nullptr;
  if (reg != nullptr) {
    result.devices = ggml_backend_reg_dev_count(reg);
    result.unusable = unusable_of(reg, library);
  }
  return result;
}

const std::vector<LoadedGpuBackend>& load_gpu_backends() {
  static const std::vector<LoadedGpuBackend> kAll = [] {
    std::vector<LoadedGpuBackend> backends;
    for (const GpuBackend& backend : gpu_backends_of_system()) {
      backends.push_back(load(backend));
    }
    return backends;
  }();
  return kAll;
}

}  // namespace hypura
