#include "backend/gpu/devices/cuda_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace hypura {

namespace {

// CUresult of cuda.h.
constexpr int kUnsupportedPtxVersion = 222;
constexpr std::array kCodeErrors = {
    200,  // CUDA_ERROR_INVALID_IMAGE
    209,  // CUDA_ERROR_NO_BINARY_FOR_GPU
    218,  // CUDA_ERROR_INVALID_PTX
    221,  // CUDA_ERROR_JIT_COMPILER_NOT_FOUND
    kUnsupportedPtxVersion,
    223,  // CUDA_ERROR_JIT_COMPILATION_DISABLED
};

}  // namespace

std::vector<UnusableGpu> unusable_gpus(const CudaDriver& driver, std::span<const std::byte> code) {
  std::vector<UnusableGpu> unusable;
  for (int device = 0; !code.empty() && device < driver.devices(); ++device) {
    const int error = driver.load(device, code);
    if (std::ranges::find(kCodeErrors, error) != kCodeErrors.end()) {
      unusable.push_back({fmt::format("CUDA{}", device), driver.capability(device), driver.version(),
                          error == kUnsupportedPtxVersion, driver.error_name(error)});
    }
  }
  return unusable;
}

}  // namespace hypura
