#include <array>

#include "backend/gpu/devices/gpu_backends.h"

namespace hypura {

std::span<const GpuBackend> gpu_backends_of_system() {
  // CUDA first: of two ways to one GPU the first that is listed is used.
  static constexpr std::array kBackends = {GpuBackend{"CUDA", "libggml-cuda.so"},
                                           GpuBackend{"Vulkan", "libggml-vulkan.so"}};
  return kBackends;
}

std::span<const std::string_view> gpu_library_folders() {
  // The CUDA toolkit as NVIDIA's installer leaves it, which does not tell the linker.
  static constexpr std::array<std::string_view, 2> kFolders = {"/usr/local/cuda/lib64", "/usr/local/cuda-13/lib64"};
  return kFolders;
}

}  // namespace hypura
