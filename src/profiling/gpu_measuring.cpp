#include "profiling/gpu_measuring.h"

#include <algorithm>
#include <iterator>

#include "backend/gpu/speed/device_speed.h"
#include "llama/llama_runtime.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

// The processor, taken for a GPU, goes through smaller matrices than a GPU needs to show its speed.
constexpr int64_t kProcessorMatmul = 2048;

GpuProfile* profile_of(MachineProfile& profile, const GpuDeviceInfo& device) {
  const auto found = std::ranges::find_if(profile.gpus, [&](const GpuProfile& it) {
    return it.name == device.name && it.description == device.description;
  });
  return found == profile.gpus.end() ? nullptr : &*found;
}

std::vector<std::string> missing_types(const GpuProfile* known, std::span<const std::string> types) {
  std::vector<std::string> missing(types.begin(), types.end());
  std::erase_if(missing, [&](const std::string& type) { return known != nullptr && known->kernel(type) != nullptr; });
  return missing;
}

// A part that could not be measured: it is tried again, with all others.
bool lacks_a_part(const GpuProfile& gpu) {
  return gpu.copies.empty() || gpu.unpinned_upload_bytes_per_second == 0 || gpu.operation_seconds == 0 ||
         gpu.cut_seconds == 0;
}

// All of a device; of types that are not asked for what is known already.
Status measure_whole(MachineProfile& profile, GpuProfile* known, const GpuDeviceInfo& device,
                     std::span<const std::string> types, const GpuTest& test) {
  auto measured = measure_gpu(device.name, types, test);
  if (!measured) {
    return propagate(measured.error());
  }
  measured->measured_at = time_of_day();
  if (known == nullptr) {
    profile.gpus.push_back(std::move(*measured));
    return {};
  }
  std::ranges::copy_if(known->kernels, std::back_inserter(measured->kernels),
                       [&](const GpuKernelSpeed& it) { return measured->kernel(it.type) == nullptr; });
  *known = std::move(*measured);
  return {};
}

// Adds the device, or the types that its figures lack.
Status add_gpu(MachineProfile& profile, const GpuDeviceInfo& device, std::span<const std::string> types,
               const GpuTest& test) {
  GpuProfile* known = profile_of(profile, device);
  if (known == nullptr || lacks_a_part(*known)) {
    return measure_whole(profile, known, device, types, test);
  }
  auto kernels = measure_gpu_kernels(device.name, missing_types(known, types), test);
  if (!kernels) {
    return propagate(kernels.error());
  }
  std::ranges::move(*kernels, std::back_inserter(known->kernels));
  return {};
}

GpuTest gpu_test(const GpuDeviceInfo& device, const MachineProfile& profile, const MeasuringEffort& effort,
                 ggml_threadpool* pool) {
  const bool is_processor = device.backend == "CPU";
  GpuTest test = effort.gpu;
  test.matmul_size = is_processor ? std::min(test.matmul_size, kProcessorMatmul) : test.matmul_size;
  test.threads = profile.threads;
  test.pool = is_processor ? pool : nullptr;
  return test;
}

}  // namespace

Result<GpuChoice> choose_gpus(const std::string& text) {
  if (text == "none") {
    return GpuChoice{};
  }
  if (text == "auto") {
    return GpuChoice{gpus_by_default(gpu_devices())};
  }
  GpuChoice choice;
  choice.named = true;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    auto device = find_gpu(text.substr(begin, end - begin));
    if (!device) {
      return propagate(device.error());
    }
    choice.devices.push_back(std::move(*device));
    begin = end + 1;
  }
  return choice;
}

Result<bool> add_gpus(MachineProfile& profile, const GpuChoice& choice, std::span<const std::string> types,
                      const ProfileProgress& progress, const MeasuringEffort& effort) {
  bool added = false;
  const auto devices = static_cast<double>(choice.devices.size());
  for (size_t i = 0; i < choice.devices.size(); ++i) {
    const GpuDeviceInfo& device = choice.devices[i];
    const GpuProfile* known = profile_of(profile, device);
    if (known != nullptr && !lacks_a_part(*known) && missing_types(known, types).empty()) {
      continue;
    }
    const ThreadpoolPtr pool = device.backend == "CPU" ? make_threadpool(profile.threads) : nullptr;
    GpuTest test = gpu_test(device, profile, effort, pool.get());
    const auto at = static_cast<double>(i);
    test.progress = part_of(progress, at / devices, (at + 1) / devices, device.name);
    const Status status = add_gpu(profile, device, types, test);
    if (!status && choice.named) {
      return propagate(status.error());
    }
    if (!status) {
      logger().warn("a GPU was not measured: {}", status.error().message);
    }
    added = added || status;
  }
  return added;
}

void keep_gpus(MachineProfile& profile, const GpuChoice& choice) {
  std::erase_if(profile.gpus, [&](const GpuProfile& it) {
    return std::ranges::none_of(choice.devices, [&](const GpuDeviceInfo& device) {
      return it.name == device.name && it.description == device.description;
    });
  });
}

}  // namespace hypura
