// ggml's devices that are GPUs.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/devices.h"

struct ggml_backend_device;
struct ggml_backend_reg;

namespace hypura {

// How people call a backend: as ggml does, but "Metal".
std::string_view backend_name(ggml_backend_reg* backend);

// What the device says of itself, but for same_as, problem and advice.
GpuDeviceInfo describe_gpu(ggml_backend_device* device);

// The GPUs that ggml has now (gpu_backends.h loads more), Hypura's own left out: as describe_gpu(), and which of them
// are the same, of those that are not `unusable`. Any thread.
std::vector<GpuDeviceInfo> list_gpus(std::span<const std::string> unusable = {});

// Whether it is a GPU that computes in the machine's memory, wherever that lies: Apple's.
bool computes_in_ram(ggml_backend_device* device);

// Those of them that there are: the budget for RAM holds for them.
std::vector<ggml_backend_device*> gpus_on_host_memory();

// The GPU of that name, or ggml's device for the processor, in upper or lower case; nullptr: none.
ggml_backend_device* gpu_by_name(std::string_view name);

}  // namespace hypura
