#include "backend/cpu_kernels.h"

#include <fmt/format.h>

#include "ggml-backend.h"

namespace hypura {

std::string cpu_kernels() {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) {
    return {};
  }
  ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(cpu);
  const auto features = reinterpret_cast<ggml_backend_get_features_t>(
      ggml_backend_reg_get_proc_address(registry, "ggml_backend_get_features"));
  std::string text;
  for (const ggml_backend_feature* it = features == nullptr ? nullptr : features(registry);
       it != nullptr && it->name != nullptr; ++it) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", it->name, it->value);
  }
  return text;
}

}  // namespace hypura
