#include "backend/gpu/devices/gpu_list.h"

#include <algorithm>
#include <string>

#include "backend/stream_device.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

namespace hypura {

namespace {

bool is_gpu(ggml_backend_dev_t device) {
  const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
  return (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) && !is_stream_device(device);
}

// Metal calls Apple's GPUs dedicated; of the dedicated kinds of llama.cpp v0.5.0 it alone computes on host memory.
bool is_apples(const ggml_backend_dev_props& props) {
  return props.type == GGML_BACKEND_DEVICE_TYPE_GPU && props.caps.buffer_from_host_ptr;
}

// As llama.cpp asks for each model; most have heads of this size.
bool has_flash_attention(ggml_backend_dev_t device) {
  constexpr int64_t kHead = 128;
  constexpr int64_t kCells = 256;
  const ggml_context_ptr context(ggml_init({8 * ggml_tensor_overhead(), nullptr, true}));
  ggml_tensor* queries = ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, kHead, 1, 1);
  ggml_tensor* keys = ggml_new_tensor_3d(context.get(), GGML_TYPE_F16, kHead, kCells, 1);
  ggml_tensor* values = ggml_new_tensor_3d(context.get(), GGML_TYPE_F16, kHead, kCells, 1);
  const ggml_tensor* attention = ggml_flash_attn_ext(context.get(), queries, keys, values, nullptr, 1.0F, 0, 0);
  return ggml_backend_dev_supports_op(device, attention);
}

std::string text(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

std::string_view backend_name(ggml_backend_reg* backend) {
  const std::string_view name = ggml_backend_reg_name(backend);
  return name == "MTL" ? "Metal" : name;
}

bool computes_in_ram(ggml_backend_device* device) {
  ggml_backend_dev_props props{};
  ggml_backend_dev_get_props(device, &props);
  return is_apples(props);
}

GpuDeviceInfo describe_gpu(ggml_backend_device* device) {
  ggml_backend_dev_props props{};
  ggml_backend_dev_get_props(device, &props);
  GpuDeviceInfo info;
  info.name = text(props.name);
  info.description = text(props.description);
  ggml_backend_reg_t backend = ggml_backend_dev_backend_reg(device);
  info.backend = backend == nullptr ? "" : backend_name(backend);
  info.bus = text(props.device_id);
  info.memory_total = props.memory_total;
  // Vulkan subtracts what is in use from a budget that may be smaller.
  info.memory_free = std::min(props.memory_free, props.memory_total);
  info.integrated = props.type != GGML_BACKEND_DEVICE_TYPE_GPU || is_apples(props);
  info.computes_in_ram = is_apples(props);
  info.pinned_memory = props.caps.host_buffer;
  info.async = props.caps.async;
  info.events = props.caps.events;
  info.flash_attention = has_flash_attention(device);
  return info;
}

std::vector<GpuDeviceInfo> list_gpus(std::span<const std::string> unusable) {
  const auto usable = [&](const GpuDeviceInfo& gpu) { return std::ranges::find(unusable, gpu.name) == unusable.end(); };
  std::vector<GpuDeviceInfo> gpus;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    if (!is_gpu(ggml_backend_dev_get(i))) {
      continue;
    }
    GpuDeviceInfo gpu = describe_gpu(ggml_backend_dev_get(i));
    const auto same = std::find_if(gpus.begin(), gpus.end(), [&](const GpuDeviceInfo& other) {
      return !gpu.bus.empty() && other.bus == gpu.bus && other.backend != gpu.backend && usable(other);
    });
    gpu.same_as = same == gpus.end() ? "" : same->name;
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

std::vector<ggml_backend_device*> gpus_on_host_memory() {
  std::vector<ggml_backend_device*> devices;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    if (is_gpu(ggml_backend_dev_get(i)) && computes_in_ram(ggml_backend_dev_get(i))) {
      devices.push_back(ggml_backend_dev_get(i));
    }
  }
  return devices;
}

ggml_backend_device* gpu_by_name(std::string_view name) {
  ggml_backend_dev_t device = ggml_backend_dev_by_name(std::string(name).c_str());
  return device != nullptr && (is_gpu(device) || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU)
             ? device
             : nullptr;
}

}  // namespace hypura
