#include "backend/devices.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <string_view>

#include "backend/stream_device.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "ggml.h"
#include "support/elapsed.h"
#include "support/units.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kUploadBytes = 64 * kMiB;
constexpr double kUploadSeconds = 0.1;

ggml_backend_buffer_ptr allocate(ggml_backend_buffer_type_t type) {
  return ggml_backend_buffer_ptr(type == nullptr ? nullptr : ggml_backend_buft_alloc_buffer(type, kUploadBytes));
}

double measure_upload(ggml_backend_dev_t device) {
  const ggml_backend_buffer_ptr there = allocate(ggml_backend_dev_buffer_type(device));
  ggml_backend_buffer_ptr here = allocate(ggml_backend_dev_host_buffer_type(device));
  if (here == nullptr) {
    here = allocate(ggml_backend_cpu_buffer_type());
  }
  if (there == nullptr || here == nullptr) {
    return 0;
  }
  void* source = ggml_backend_buffer_get_base(here.get());
  std::memset(source, 1, kUploadBytes);
  const ggml_context_ptr context(ggml_init({ggml_tensor_overhead(), nullptr, true}));
  ggml_tensor* tensor = ggml_new_tensor_1d(context.get(), GGML_TYPE_I8, kUploadBytes);
  if (ggml_backend_tensor_alloc(there.get(), tensor, ggml_backend_buffer_get_base(there.get())) !=
      GGML_STATUS_SUCCESS) {
    return 0;
  }
  ggml_backend_tensor_set(tensor, source, 0, kUploadBytes);  // the first one may set things up
  const auto start = Clock::now();
  double seconds = 0;
  uint64_t bytes = 0;
  do {
    ggml_backend_tensor_set(tensor, source, 0, kUploadBytes);
    bytes += kUploadBytes;
    seconds = seconds_since(start);
  } while (seconds < kUploadSeconds);
  return static_cast<double>(bytes) / seconds;
}

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
  const bool is_gpu = props.type == GGML_BACKEND_DEVICE_TYPE_GPU || props.type == GGML_BACKEND_DEVICE_TYPE_IGPU;
  DeviceInfo info;
  info.name = props.name;
  info.description = props.description;
  info.kind = kind_name(props.type);
  info.memory_total = props.memory_total;
  info.memory_free = props.memory_free;
  // Metal calls Apple's GPUs dedicated; of the dedicated kinds of llama.cpp v0.4.0 it alone computes on host memory.
  info.unified = props.type == GGML_BACKEND_DEVICE_TYPE_IGPU ||
                 (props.type == GGML_BACKEND_DEVICE_TYPE_GPU && props.caps.buffer_from_host_ptr);
  info.upload_bytes_per_second = is_gpu ? measure_upload(device) : 0;
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
