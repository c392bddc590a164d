// The devices that ggml knows.
#pragma once

#include <vector>

#include "hypura/profile.h"

namespace hypura {

// All of ggml's devices in its order, Hypura's own left out. The backends must be loaded.
std::vector<DeviceInfo> list_devices();

}  // namespace hypura
