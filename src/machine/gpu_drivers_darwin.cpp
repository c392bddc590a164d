#include "machine/gpu_drivers.h"

namespace hypura {

GpuDrivers read_gpu_drivers(const std::filesystem::path& /*root*/) {
  return {};
}

}  // namespace hypura
