#include <array>

#include "backend/gpu/devices/gpu_backends.h"

namespace hypura {

std::span<const GpuBackend> gpu_backends_of_system() {
  static constexpr std::array kBackends = {GpuBackend{"Metal", ""}};
  return kBackends;
}

std::span<const std::string_view> gpu_library_folders() {
  return {};
}

}  // namespace hypura
