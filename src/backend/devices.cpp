#include "backend/devices.h"

#include <string_view>

#include "backend/stream_device.h"
#include "ggml-backend.h"

namespace hypura {

namespace {

// Empty for devices that are combinations of others.
std::string_view kind_name(enum ggml_backend_dev_type type) {
  switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU:
      return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU:
      return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
      return "igpu";
    case GGML_BACKEND_DEVICE_TYPE_ACCEL:
      return "accel";
    default:
      return "";
  }
}

DeviceInfo describe(ggml_backend_dev_t device) {
  ggml_backend_dev_props props{};
  ggml_backend_dev_get_props(device, &props);
  DeviceInfo info;
  info.name = props.name;
  info.description = props.description;
  info.kind = kind_name(props.type);
  info.memory_total = props.memory_total;
  info.memory_free = props.memory_free;
  // Metal calls Apple's GPUs dedicated; of the dedicated kinds of llama.cpp v0.4.0 it alone computes on host memory.
  info.unified = props.type == GGML_BACKEND_DEVICE_TYPE_IGPU ||
                 (props.type == GGML_BACKEND_DEVICE_TYPE_GPU && props.caps.buffer_from_host_ptr);
  return info;
}

}  // namespace

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices;
  for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    if (!is_stream_device(device) && !kind_name(ggml_backend_dev_type(device)).empty()) {
      devices.push_back(describe(device));
    }
  }
  return devices;
}

}  // namespace hypura
