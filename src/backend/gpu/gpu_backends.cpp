#include "backend/gpu/gpu_backends.h"

#include <dlfcn.h>

#include <mutex>

#include "backend/ggml_folder.h"
#include "backend/gpu/gpu_list.h"
#include "ggml-backend.h"
#include "ggml.h"

namespace hypura {

namespace {

// Hears what ggml logs while it lives: a backend tells in no other way why it found nothing.
class LogListener {
 public:
  LogListener() {
    ggml_log_get(&before_, &before_data_);
    ggml_log_set(hear, this);
  }
  ~LogListener() { ggml_log_set(before_, before_data_); }
  LogListener(const LogListener&) = delete;
  LogListener& operator=(const LogListener&) = delete;

  // The first error since the last call, without the name of the function that logged it.
  std::string take_error() {
    const std::lock_guard lock(mutex_);
    std::string line = std::exchange(error_, {});
    const size_t colon = line.find(": ");
    line.erase(0, colon == std::string::npos ? 0 : colon + 2);
    line.erase(line.find_last_not_of(" \n.") + 1);
    return line;
  }

 private:
  static void hear(ggml_log_level level, const char* text, void* data) {
    auto* self = static_cast<LogListener*>(data);
    {
      const std::lock_guard lock(self->mutex_);
      if (level == GGML_LOG_LEVEL_ERROR && self->error_.empty()) {
        self->error_ = text;
      }
    }
    self->before_(level, text, self->before_data_);
  }

  ggml_log_callback before_ = nullptr;
  void* before_data_ = nullptr;
  std::mutex mutex_;
  std::string error_;
};

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

LoadedGpuBackend load(const GpuBackend& backend, LogListener& log) {
  LoadedGpuBackend result;
  result.name = backend.name;
  ggml_backend_reg_t reg = registered(backend.name);
  if (reg == nullptr) {
    result.library = find_library(backend.library);
    if (result.library.empty()) {
      return result;
    }
    // ggml would tell the linker's reason in its log alone. It opens what is open then; nothing is closed again, since
    // drivers have threads of their own.
    if (dlopen(result.library.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
      const char* error = dlerror();
      result.error = error == nullptr ? "" : error;
      result.missing_library = missing_library(result.error);
      return result;
    }
    log.take_error();
    reg = ggml_backend_load(result.library.c_str());
    result.error = log.take_error();
  }
  result.loaded = reg != nullptr;
  result.devices = reg == nullptr ? 0 : ggml_backend_reg_dev_count(reg);
  return result;
}

}  // namespace

std::string missing_library(std::string_view error) {
  const size_t colon = error.find(": cannot open shared object file");
  const std::string_view name = error.substr(0, colon);
  return colon == std::string_view::npos || name.find('/') != std::string_view::npos ? std::string()
                                                                                     : std::string(name);
}

const std::vector<LoadedGpuBackend>& load_gpu_backends() {
  static const std::vector<LoadedGpuBackend> all = [] {
    LogListener log;
    std::vector<LoadedGpuBackend> backends;
    for (const GpuBackend& backend : gpu_backends_of_system()) {
      backends.push_back(load(backend, log));
    }
    return backends;
  }();
  return all;
}

}  // namespace hypura
