#include "engine/llama_runtime.h"

#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "llama.h"
#include "log.h"
#include "support/executable_path.h"
#include "support/log.h"

namespace hypura {

namespace {

thread_local std::string last_error;

void forward_log(ggml_log_level level, const char* text, void* /*data*/) {
  std::string_view line(text);
  while (!line.empty() && line.back() == '\n') {
    line.remove_suffix(1);
  }
  // It tells of every matrix that it repacks: of streamed ones, in every pass of a prompt.
  if (line.empty() || line == "." || (level == GGML_LOG_LEVEL_DEBUG && line.starts_with("repack: repack tensor"))) {
    return;
  }
  if (level == GGML_LOG_LEVEL_ERROR) {
    last_error = line;
  }
  spdlog::debug("llama.cpp: {}", line);
}

template <class Function>
Function cpu_function(const char* name) {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_reg_t reg = cpu == nullptr ? nullptr : ggml_backend_dev_backend_reg(cpu);
  return reg == nullptr ? nullptr : reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(reg, name));
}

// Where this program is installed, or the build tree that it was built in.
std::filesystem::path library_folder() {
  if (const auto program = executable_path()) {
    std::error_code error;
    std::filesystem::path installed = program->parent_path() / HYPURA_INSTALLED_LIB_DIR;
    if (std::filesystem::is_directory(installed, error)) {
      return installed;
    }
  }
  return HYPURA_LLAMA_LIB_DIR;
}

Status load_backends() {
  llama_log_set(forward_log, nullptr);
  silence_common_log();
  const std::filesystem::path folder = library_folder();
  ggml_backend_load_all_from_path(folder.c_str());
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
    return fail(ErrorCode::kInternal, "no CPU backend of llama.cpp was found in {}", folder.string());
  }
  llama_backend_init();
  return {};
}

}  // namespace

void silence_common_log() {
  static std::once_flag once;
  std::call_once(once, [] { common_log_set_verbosity_thold(LOG_LEVEL_OUTPUT); });
}

Status init_llama() {
  static std::once_flag once;
  static Status status;
  std::call_once(once, [] { status = load_backends(); });
  return status;
}

std::string take_llama_error() {
  return std::exchange(last_error, {});
}

void ThreadpoolDeleter::operator()(ggml_threadpool* pool) const {
  cpu_function<decltype(&ggml_threadpool_free)>("ggml_threadpool_free")(pool);
}

ThreadpoolPtr make_threadpool(uint32_t threads) {
  const auto make = cpu_function<decltype(&ggml_threadpool_new)>("ggml_threadpool_new");
  if (make == nullptr) {
    return nullptr;
  }
  ggml_threadpool_params params = ggml_threadpool_params_default(static_cast<int>(threads));
  return ThreadpoolPtr(make(&params));
}

}  // namespace hypura
