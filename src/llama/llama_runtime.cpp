#include "llama/llama_runtime.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/ggml_folder.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "llama.h"
#include "llama/llama_guard.h"
#include "log.h"
#include "model/ggml_log.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/printable.h"

namespace hypura {

namespace {

// More than this many lines tell nothing new.
constexpr size_t kMostErrors = 16;
thread_local std::vector<std::string> errors;

// Takes a leading "llama_model_load: " off, the name of the function that logged the line; false when there is none.
bool drop_function_name(std::string_view& line) {
  const size_t colon = line.find(": ");
  const std::string_view name = line.substr(0, std::min(colon, line.size()));
  const bool is_name = colon != std::string_view::npos && name.find('_') != std::string_view::npos &&
                       std::all_of(name.begin(), name.end(), [](char c) {
                         return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':' || c == '~';
                       });
  if (is_name) {
    line.remove_prefix(colon + 2);
  }
  return is_name;
}

// What a line says, without what every line of its kind says. Empty: nothing of its own.
std::string_view reason_of(std::string_view line) {
  while (drop_function_name(line)) {
  }
  for (const std::string_view introduction :
       {"error loading model: ", "failed to initialize the context: ", "error loading model hyperparameters: ",
        "error loading model vocabulary: "}) {
    if (line.starts_with(introduction)) {
      line.remove_prefix(introduction.size());
    }
  }
  while (drop_function_name(line)) {
  }
  return line == "failed to load model" ? std::string_view() : line;
}

void forward_log(ggml_log_level level, const char* text, void* /*data*/) {
  std::string_view line(text);
  while (!line.empty() && line.back() == '\n') {
    line.remove_suffix(1);
  }
  // It tells of every matrix that it repacks: of streamed ones, in every pass of a prompt.
  if (line.empty() || line == "." || (level == GGML_LOG_LEVEL_DEBUG && line.starts_with("repack: repack tensor"))) {
    return;
  }
  if (level == GGML_LOG_LEVEL_ERROR && errors.size() < kMostErrors) {
    errors.emplace_back(line);
  }
  if (logger().should_log(spdlog::level::debug)) {  // hundreds of lines an opening, of which few users see one
    logger().debug("llama.cpp: {}", printable(line));
  }
}

template <class Function>
Function cpu_function(const char* name) {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  ggml_backend_reg_t reg = cpu == nullptr ? nullptr : ggml_backend_dev_backend_reg(cpu);
  return reg == nullptr ? nullptr : reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(reg, name));
}

Status load_backends() {
  if (auto status = check_llama_version(llama_version(), HYPURA_LLAMA_VERSION); !status) {
    return status;
  }
  set_abort_handlers();
  llama_log_set(forward_log, nullptr);
  keep_ggml_log();
  silence_common_log();
  const std::filesystem::path folder = ggml_folder();
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

Status check_llama_version(std::string_view found, std::string_view compiled_for) {
  if (found.substr(0, found.find('-')) == compiled_for) {
    return {};
  }
  return fail(ErrorCode::kInternal,
              "this program was compiled for llama.cpp {}, and the libraries in {} are llama.cpp {}: install what was "
              "built together, or configure with HYPURA_LLAMA_DIR and HYPURA_LLAMA_OWN_SOURCE of one llama.cpp",
              compiled_for, ggml_folder().string(), found);
}

std::string ggml_build() {
  return fmt::format("{} {}", ggml_version(), ggml_commit());
}

std::string take_llama_error() {
  for (const std::string& line : std::exchange(errors, {})) {
    if (std::string reason(reason_of(line)); !reason.empty()) {
      reason.erase(reason.find_last_not_of(" \n.") + 1);
      return printable(reason);
    }
  }
  return "llama.cpp gave no reason";
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
