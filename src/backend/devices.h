// The devices that ggml knows, and how fast memory gets there.
#pragma once

#include <functional>
#include <vector>

#include "hypura/profile.h"

namespace hypura {

// All of ggml's devices in its order, Hypura's own left out. Measures the upload to those with memory apart from the
// host's: 64 MiB from pinned memory where the device gives that, a tenth of a second each, 0 when it has no memory for
// it. The backends must be loaded. Not while a model computes.
std::vector<DeviceInfo> list_devices();

}  // namespace hypura
