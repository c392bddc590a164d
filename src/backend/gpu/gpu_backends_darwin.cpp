#include <array>

#include "backend/gpu/gpu_backends.h"

namespace hypura {

std::span<const GpuBackend> gpu_backends_of_system() {
  static constexpr std::array kBackends = {GpuBackend{"Metal", ""}};
  return kBackends;
}

}  // namespace hypura
