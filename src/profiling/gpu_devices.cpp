#include <algorithm>
#include <iterator>

#include "backend/gpu/devices/gpu_backends.h"
#include "backend/gpu/devices/gpu_list.h"
#include "hypura/devices.h"
#include "llama/llama_runtime.h"
#include "profiling/gpu_advice.h"
#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

std::string names(const std::vector<GpuDeviceInfo>& devices) {
  std::string text;
  for (const GpuDeviceInfo& device : devices) {
    text += (text.empty() ? "" : ", ") + device.name;
  }
  return text;
}

std::vector<UnusableGpu> all_unusable() {
  std::vector<UnusableGpu> all;
  for (const LoadedGpuBackend& backend : load_gpu_backends()) {
    all.insert(all.end(), backend.unusable.begin(), backend.unusable.end());
  }
  return all;
}

void add_problem(const std::vector<UnusableGpu>& unusable, GpuDeviceInfo& device) {
  const auto it = std::ranges::find(unusable, device.name, &UnusableGpu::name);
  if (it != unusable.end()) {
    explain_unusable(*it, device);
  }
}

}  // namespace

std::vector<GpuDeviceInfo> gpu_devices() {
  if (!init_llama()) {
    return {};
  }
  const std::vector<UnusableGpu> unusable = all_unusable();
  std::vector<std::string> names;
  std::ranges::transform(unusable, std::back_inserter(names), &UnusableGpu::name);
  std::vector<GpuDeviceInfo> devices = list_gpus(names);
  for (GpuDeviceInfo& device : devices) {
    add_problem(unusable, device);
  }
  return devices;
}

std::vector<GpuBackendInfo> gpu_backends() {
  std::vector<GpuBackendInfo> backends;
  if (!init_llama()) {
    return backends;
  }
  const GpuDrivers drivers = read_gpu_drivers();
  std::ranges::transform(load_gpu_backends(), std::back_inserter(backends),
                         [&drivers](const LoadedGpuBackend& backend) { return explain_backend(backend, drivers); });
  return backends;
}

Result<GpuDeviceInfo> find_gpu(std::string_view name) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  ggml_backend_device* device = gpu_by_name(name);
  if (device == nullptr) {
    load_gpu_backends();
    device = gpu_by_name(name);
  }
  if (device != nullptr) {
    GpuDeviceInfo found = describe_gpu(device);
    if (found.backend == "CUDA") {
      add_problem(all_unusable(), found);
    }
    return found.problem.empty()
               ? Result<GpuDeviceInfo>(std::move(found))
               : fail(ErrorCode::kUsage, "{} cannot compute: {}; {}", found.name, found.problem, found.advice);
  }
  const std::vector<GpuDeviceInfo> devices = list_gpus();
  return devices.empty() ? fail(ErrorCode::kUsage, "there is no GPU '{}' here, nor any other: see `hypura devices`",
                                printable(name))
                         : fail(ErrorCode::kUsage, "there is no GPU '{}' here; there is {}: see `hypura devices`",
                                printable(name), names(devices));
}

std::vector<GpuDeviceInfo> gpus_by_default(const std::vector<GpuDeviceInfo>& devices) {
  std::vector<GpuDeviceInfo> chosen;
  std::ranges::copy_if(devices, std::back_inserter(chosen), [](const GpuDeviceInfo& device) {
    return (!device.integrated || device.computes_in_ram) && device.same_as.empty() && device.problem.empty();
  });
  return chosen;
}

}  // namespace hypura
