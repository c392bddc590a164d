#include <sys/sysctl.h>

#include <array>

#include "measure/machine_state.h"

namespace hypura {

std::string processor_name() {
  std::array<char, 256> name{};
  size_t size = name.size() - 1;
  return sysctlbyname("machdep.cpu.brand_string", name.data(), &size, nullptr, 0) == 0 ? name.data() : "unknown";
}

}  // namespace hypura
