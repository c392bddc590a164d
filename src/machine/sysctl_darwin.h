// Named values of the macOS kernel (man 3 sysctl).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hypura {

// An integer of 4 or 8 bytes; none when the system does not know the name.
std::optional<uint64_t> read_sysctl(const char* name);

// A text; empty when the system does not know the name.
std::string read_sysctl_text(const char* name);

}  // namespace hypura
