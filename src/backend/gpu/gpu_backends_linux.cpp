#include <array>

#include "backend/gpu/gpu_backends.h"

namespace hypura {

std::span<const GpuBackend> gpu_backends_of_system() {
  // CUDA first: of two ways to one GPU the first that is listed is used.
  static constexpr std::array kBackends = {GpuBackend{"CUDA", "libggml-cuda.so"},
                                           GpuBackend{"Vulkan", "libggml-vulkan.so"}};
  return kBackends;
}

}  // namespace hypura
