#include "plan/gpu_choice.h"

#include <algorithm>

#include "backend/gpu/device_speed.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kLeastMargin = 512 * kMiB;
constexpr uint64_t kMarginShare = 20;  // of all its memory: one part in so many
// By hand, for measurements, the slots are given: they need no budget.
constexpr uint64_t kUnlimited = 1ULL << 60;

// The device with the most free memory.
GpuDeviceInfo best_of(const std::vector<GpuDeviceInfo>& devices) {
  const auto best = std::ranges::max_element(devices, {}, &GpuDeviceInfo::memory_free);
  return best == devices.end() ? GpuDeviceInfo() : *best;
}

// Whether the RAM budget has room for a driver, which takes its part from the moment it is asked which GPUs there are.
bool has_room_for_driver(const EngineOptions& options) {
  const auto budget = choose_budget(options);
  return budget && budget->bytes > gpu_runtime("CUDA").in_ram;
}

Result<GpuDeviceInfo> find_device(const EngineOptions& options, const std::string& name) {
  if (name == "none") {
    return GpuDeviceInfo();
  }
  if (name == "auto") {
    return has_room_for_driver(options) ? best_of(gpus_by_default(gpu_devices())) : GpuDeviceInfo();
  }
  if (name.find(',') != std::string::npos) {
    return fail(ErrorCode::kUsage, "--gpu {}: one GPU computes a model, several together do not yet: name one of them",
                name);
  }
  return find_gpu(name);
}

// What a GPU that computes in the machine's memory leaves to the rest of what it works with at once: the screen's.
constexpr uint64_t kWorkingSetMargin = 2 * kGiB;

// Half of what the machine allows where that is its memory.
Result<uint64_t> most_vram(const ChosenGpu& gpu) {
  if (gpu.device.computes_in_ram) {
    return gpu.device.memory_total - std::min(gpu.device.memory_total, kWorkingSetMargin);
  }
  if (gpu.on_ram) {
    return choose_budget({}).map([](const BudgetChoice& budget) { return budget.bytes / 2; });
  }
  const uint64_t margin = std::max(kLeastMargin, gpu.device.memory_total / kMarginShare);
  return gpu.device.memory_free - std::min(gpu.device.memory_free, margin);
}

// Takes what the driver needs out of what the model may use.
Result<ChosenGpu> less_runtime(ChosenGpu gpu) {
  const uint64_t runtime = gpu.on_ram ? 0 : gpu_runtime(gpu.device.backend).on_device;
  if (runtime == 0) {
    return gpu;
  }
  if (gpu.vram <= runtime) {
    return fail(
        ErrorCode::kBudget,
        "of {}'s memory {} may be used, and its driver and kernels alone take about {}: allow more by --vram, or "
        "give --gpu none",
        gpu.device.name, format_bytes(gpu.vram), format_bytes(runtime));
  }
  gpu.vram -= runtime;
  gpu.remark += fmt::format(" beside {} for its driver", format_bytes(runtime));
  return gpu;
}

}  // namespace

GpuRuntime gpu_runtime(std::string_view backend) {
  if (backend == "CUDA") {
    return {384 * kMiB, 528 * kMiB};
  }
  return backend == "Vulkan" ? GpuRuntime{128 * kMiB, 128 * kMiB} : GpuRuntime{};
}

Result<ChosenGpu> choose_gpu(const EngineOptions& options, const PlanOverrides& overrides) {
  auto device = find_device(options, overrides.gpu ? overrides.gpu->device : options.gpu);
  if (!device) {
    return propagate(device.error());
  }
  ChosenGpu gpu;
  gpu.device = std::move(*device);
  gpu.named = overrides.gpu || options.gpu != "auto";
  gpu.on_ram = gpu.device.integrated || gpu.device.name == "CPU";
  if (!gpu.exists()) {
    return options.vram
               ? fail(ErrorCode::kUsage,
                      "--vram {} is for a GPU, and {}: leave it out, or name one that `hypura devices` lists",
                      format_bytes(*options.vram),
                      options.gpu == "none" ? "none is to be used" : "there is none here that is used by itself")
               : Result<ChosenGpu>(std::move(gpu));
  }
  if (overrides.gpu && !options.vram) {
    gpu.vram = kUnlimited;
    return gpu;
  }
  const auto most = most_vram(gpu);
  if (!most) {
    return propagate(most.error());
  }
  gpu.vram = options.vram.value_or(*most);
  if (!gpu.on_ram && gpu.vram > gpu.device.memory_free) {
    gpu.remark = fmt::format(" (lowered from {}: no more of its memory is free)", format_bytes(gpu.vram));
    gpu.vram = *most;
  }
  if (gpu.device.computes_in_ram && gpu.vram > *most) {
    gpu.remark = fmt::format(" (lowered from {}: it works with no more at once)", format_bytes(gpu.vram));
    gpu.vram = *most;
  }
  if (gpu.device.computes_in_ram) {
    gpu.cut_seconds = measure_gpu_cut(gpu.device.name).value_or(0);  // then it is assumed
  }
  auto usable = less_runtime(std::move(gpu));
  const bool chosen_here = !overrides.gpu && options.gpu == "auto" && !options.vram;
  return usable || !chosen_here ? std::move(usable) : ChosenGpu();  // another program has its memory
}

Result<BudgetChoice> beside_gpu(const EngineOptions& options, const ChosenGpu& gpu, BudgetChoice budget) {
  if (!gpu.exists() || gpu.vram == kUnlimited || gpu.device.computes_in_ram) {
    return budget;
  }
  if (!gpu.on_ram) {
    const uint64_t runtime = gpu_runtime(gpu.device.backend).in_ram;
    if (budget.bytes <= runtime) {
      return fail(ErrorCode::kBudget,
                  "of {} of RAM {}'s driver alone takes about {}: allow more by --memory, or give --gpu none",
                  format_bytes(budget.bytes), gpu.device.name, format_bytes(runtime));
    }
    budget.bytes -= runtime;
    budget.remark += runtime > 0 ? fmt::format(" beside {} for the GPU's driver", format_bytes(runtime)) : "";
    return budget;
  }
  const auto allowed = choose_budget({});
  if (!allowed) {
    return propagate(allowed.error());
  }
  const uint64_t most = allowed->bytes - std::min(allowed->bytes, gpu.vram);
  if (budget.bytes > most) {
    budget.remark = options.memory ? fmt::format(" (lowered from {}: the GPU takes {} of the machine's memory)",
                                                 format_bytes(budget.bytes), format_bytes(gpu.vram))
                                   : "";
    budget.bytes = most;
  }
  return budget;
}

}  // namespace hypura
