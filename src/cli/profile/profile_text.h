// A machine profile for people.
#pragma once

#include <string>

#include "hypura/profile.h"

namespace hypura {

// "2.31 GB/s", "310 MB/s": decimal units, as makers of disks and memory use them.
std::string format_rate(double bytes_per_second);

// Several lines, with headings, tables and what the figures mean for a model; ends with a line break. What was not
// measured is left out, except storage, of which it is said.
std::string profile_text(const MachineProfile& profile);

}  // namespace hypura
