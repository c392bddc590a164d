#include "machine/sysctl_darwin.h"

#include <sys/sysctl.h>

namespace hypura {

std::optional<uint64_t> read_sysctl(const char* name) {
  uint64_t value = 0;  // Apple's machines are little-endian, so a 4-byte answer fills the low half
  size_t size = sizeof(value);
  if (sysctlbyname(name, &value, &size, nullptr, 0) != 0) {
    return std::nullopt;
  }
  return value;
}

std::string read_sysctl_text(const char* name) {
  size_t size = 0;
  if (sysctlbyname(name, nullptr, &size, nullptr, 0) != 0 || size == 0) {
    return "";
  }
  std::string text(size, '\0');
  if (sysctlbyname(name, text.data(), &size, nullptr, 0) != 0) {
    return "";
  }
  return text.c_str();  // without the zero byte at the end
}

}  // namespace hypura
