#include "plan/gpu_choice.h"

#include <algorithm>

#include "backend/gpu/speed/device_speed.h"
#include "profiling/gpu_measuring.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kLeastMargin = 512 * kMiB;
constexpr uint64_t kMarginShare = 20;  // of all its memory: one part in so many
// By hand, for measurements, the slots are given: they need no budget.
constexpr uint64_t kUnlimited = 1ULL << 60;

// What its driver takes of RAM.
constexpr uint64_t kCudaInRam = 528 * kMiB;

// llama.cpp's own limit.
constexpr size_t kMostDevices = 16;

// Drivers of several GPUs take at most this share of the RAM budget: one part in so many.
constexpr uint64_t kDriversShare = 8;

// How many drivers the RAM budget has room for: each takes its part from the moment it is asked which GPUs there are.
size_t room_for_drivers(const EngineOptions& options) {
  const auto budget = choose_budget(options);
  const uint64_t each = kCudaInRam;
  return !budget || budget->bytes <= each ? 0 : std::max<uint64_t>(1, budget->bytes / (kDriversShare * each));
}

Result<std::vector<GpuDeviceInfo>> devices_by_default(const EngineOptions& options) {
  const size_t most = std::min(room_for_drivers(options), kMostDevices);
  std::vector<GpuDeviceInfo> devices;
  if (most > 0) {
    devices = gpus_by_default(gpu_devices());
    const auto own = [](const GpuDeviceInfo& device) { return !device.integrated; };
    std::ranges::stable_sort(devices, std::ranges::greater(), &GpuDeviceInfo::memory_free);
    std::stable_partition(devices.begin(), devices.end(), own);
    const auto with_memory = static_cast<size_t>(std::ranges::count_if(devices, own));
    // What has no memory of its own computes alone.
    devices.resize(std::min({devices.size(), most, std::max<size_t>(1, with_memory)}));
  }
  return devices;
}

// Several compute together only with memory of their own each.
Status check_together(const std::vector<GpuDeviceInfo>& devices, const std::string& names) {
  if (devices.size() > kMostDevices) {
    return fail(ErrorCode::kUsage, "--gpu {}: {} GPUs at most compute a model together", names, kMostDevices);
  }
  for (size_t i = 0; devices.size() > 1 && i < devices.size(); ++i) {
    const GpuDeviceInfo& it = devices[i];
    if (it.integrated || it.name == "CPU") {
      return fail(ErrorCode::kUsage,
                  "--gpu {}: {} has no memory of its own, and computes alone or not at all: leave it out, or name it "
                  "alone",
                  names, it.name);
    }
    for (size_t k = 0; k < i; ++k) {
      if (devices[k].name == it.name || it.same_as == devices[k].name || devices[k].same_as == it.name) {
        return fail(ErrorCode::kUsage, "--gpu {}: {} and {} are the same GPU: name it once", names, devices[k].name,
                    it.name);
      }
    }
  }
  return {};
}

// find_gpu() does not tell which are the same.
void add_same(std::vector<GpuDeviceInfo>& devices) {
  for (const GpuDeviceInfo& listed : devices.size() > 1 ? gpu_devices() : std::vector<GpuDeviceInfo>()) {
    const auto it = std::ranges::find(devices, listed.name, &GpuDeviceInfo::name);
    if (it != devices.end()) {
      it->same_as = listed.same_as;
    }
  }
}

Result<std::vector<GpuDeviceInfo>> find_devices(const EngineOptions& options, const std::string& names) {
  if (names == "auto") {
    return devices_by_default(options);
  }
  auto choice = choose_gpus(names);
  if (!choice) {
    return propagate(choice.error());
  }
  add_same(choice->devices);
  if (Status status = check_together(choice->devices, names); !status) {
    return propagate(status.error());
  }
  return std::move(choice->devices);
}

// What a GPU that computes in the machine's memory leaves to the rest of what it works with at once: the screen's.
constexpr uint64_t kWorkingSetMargin = 2 * kGiB;

// What is free of its own memory, less what a desktop needs.
uint64_t free_for_models(const GpuDeviceInfo& device) {
  const uint64_t margin = std::max(kLeastMargin, device.memory_total / kMarginShare);
  return device.memory_free - std::min(device.memory_free, margin);
}

// Half of what the machine allows where that is its memory.
Result<uint64_t> most_vram(const GpuDeviceInfo& device, bool on_ram) {
  if (device.computes_in_ram) {
    return device.memory_total - std::min(device.memory_total, kWorkingSetMargin);
  }
  if (on_ram) {
    return choose_budget({}).map([](const BudgetChoice& budget) { return budget.bytes / 2; });
  }
  return free_for_models(device);
}

// What it may use; `remark` says where that is less than was asked for. Of that goes what the driver needs.
Result<uint64_t> usable_vram(std::optional<uint64_t> asked, const GpuDeviceInfo& device, bool on_ram,
                             std::string& remark) {
  const auto most = most_vram(device, on_ram);
  if (!most) {
    return propagate(most.error());
  }
  uint64_t vram = asked.value_or(*most);
  if (!on_ram && vram > device.memory_free) {
    remark = fmt::format(" (lowered from {}: no more of its memory is free)", format_bytes(vram));
    vram = *most;
  }
  if (device.computes_in_ram && vram > *most) {
    remark = fmt::format(" (lowered from {}: it works with no more at once)", format_bytes(vram));
    vram = *most;
  }
  const uint64_t runtime = on_ram ? 0 : gpu_runtime(device).on_device;
  if (runtime > 0 && vram <= runtime) {
    return fail(
        ErrorCode::kBudget,
        "of {}'s memory {} may be used, and its driver and kernels alone take about {}: allow more by --vram, or "
        "give --gpu none",
        device.name, format_bytes(vram), format_bytes(runtime));
  }
  remark += runtime > 0 ? fmt::format(" beside {} for its driver", format_bytes(runtime)) : "";
  return vram - runtime;
}

}  // namespace

bool is_taken(const GpuDeviceInfo& device) {
  return !device.integrated && free_for_models(device) <= gpu_runtime(device).on_device;
}

std::string no_room_for_driver(uint64_t budget, const GpuDrivers& drivers) {
  const uint64_t least = kCudaInRam;
  if (!drivers.any() || budget > least) {
    return {};
  }
  return fmt::format("no GPU is looked for: its driver would take about {} of RAM, and {} may be used",
                     format_bytes(least), format_bytes(budget));
}

// Without flash attention its kernels convert the scores of a pass, in memory of their own.
GpuRuntime gpu_runtime(const GpuDeviceInfo& device) {
  if (device.backend == "CUDA") {
    return {(device.flash_attention ? 288 : 480) * kMiB, kCudaInRam};
  }
  return device.backend == "Vulkan" ? GpuRuntime{128 * kMiB, 128 * kMiB} : GpuRuntime{};
}

std::string joined_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < names.size() ? ", " : " and ") + names[i];
  }
  return text;
}

std::string ChosenGpu::name() const {
  std::vector<std::string> names;
  for (const ChosenDevice& it : devices) {
    names.push_back(it.info.name);
  }
  return joined_names(names);
}

std::string ChosenGpu::remark(const std::vector<std::string>& names) const {
  std::string text;
  for (const ChosenDevice& it : devices) {
    if (std::ranges::find(names, it.info.name) == names.end() || it.remark.empty()) {
      continue;
    }
    text += names.size() == 1 ? it.remark : (text.empty() ? " (" : "; ") + it.info.name + it.remark;
  }
  return text + (text.empty() || names.size() == 1 ? "" : ")");
}

uint64_t ChosenGpu::vram() const {
  uint64_t bytes = 0;
  for (const ChosenDevice& it : devices) {
    bytes += it.vram;
  }
  return bytes;
}

namespace {

// Of what it may use its driver leaves nothing.
std::string passed_over(const GpuDeviceInfo& device) {
  return fmt::format("{} is passed over: of its memory {} may be used, and its driver alone takes about {}",
                     device.name, format_bytes(free_for_models(device)), format_bytes(gpu_runtime(device).on_device));
}

// Each with what it may use; one that another program has the memory of is left out where it was chosen here.
Status add_devices(const EngineOptions& options, std::vector<GpuDeviceInfo> devices, ChosenGpu& gpu) {
  for (size_t i = 0; i < devices.size(); ++i) {
    GpuDeviceInfo& device = devices[i];
    std::string remark;
    const auto vram = usable_vram(asked_vram(options, i), device, gpu.on_ram, remark);
    if (!vram && (gpu.named || options.vram)) {
      return propagate(vram.error());
    }
    if (vram) {
      gpu.devices.push_back({std::move(device), *vram, std::move(remark)});
    } else {
      gpu.passed_over = passed_over(device);
    }
  }
  return {};
}

// A size for each is for GPUs that are named.
Status check_sizes(const EngineOptions& options, size_t devices) {
  const size_t sizes = options.vram_each.size();
  if (sizes == 0 || (options.gpu != "auto" && sizes == devices && !options.vram)) {
    return {};
  }
  if (options.gpu == "auto") {
    return fail(ErrorCode::kUsage,
                "--vram gives {} sizes, one for each of several GPUs, and none is named: name them by --gpu, or give "
                "one size for each that is used",
                sizes);
  }
  if (sizes == devices) {
    return fail(ErrorCode::kUsage, "vram and vram_each both say what memory the GPUs may use: leave one out");
  }
  return fail(ErrorCode::kUsage,
              "--vram gives {} sizes, and --gpu {} is {} GPU{}: give one size for each, in their order, or one for all",
              sizes, options.gpu, devices, devices == 1 ? "" : "s");
}

}  // namespace

std::optional<uint64_t> asked_vram(const EngineOptions& options, size_t device) {
  return device < options.vram_each.size() ? std::optional(options.vram_each[device]) : options.vram;
}

Result<ChosenGpu> choose_gpu(const EngineOptions& options, const PlanOverrides& overrides) {
  auto devices = find_devices(options, overrides.gpu ? overrides.gpu->device : options.gpu);
  if (!devices) {
    return propagate(devices.error());
  }
  if (Status status = check_sizes(options, devices->size()); !status) {
    return propagate(status.error());
  }
  ChosenGpu gpu;
  gpu.named = overrides.gpu || options.gpu != "auto";
  if (devices->empty() && !options.vram && !gpu.named) {
    const auto budget = choose_budget(options);
    gpu.passed_over = no_room_for_driver(budget ? budget->bytes : 0, read_gpu_drivers());
    return gpu;
  }
  if (devices->empty()) {
    return options.vram
               ? fail(ErrorCode::kUsage,
                      "--vram {} is for a GPU, and {}: leave it out, or name one that `hypura devices` lists",
                      format_bytes(*options.vram),
                      options.gpu == "none" ? "none is to be used" : "there is none here that is used by itself")
               : Result<ChosenGpu>(std::move(gpu));
  }
  if (devices->size() > 1 && overrides.gpu && overrides.gpu->layers) {
    return fail(ErrorCode::kUsage, "--gpu {}: a given number of layers is for one GPU beside the processors",
                overrides.gpu->device);
  }
  gpu.on_ram = devices->front().integrated || devices->front().name == "CPU";
  if (overrides.gpu && !options.vram && options.vram_each.empty()) {
    for (GpuDeviceInfo& device : *devices) {
      gpu.devices.push_back({std::move(device), kUnlimited, {}});
    }
    return gpu;
  }
  if (Status status = add_devices(options, std::move(*devices), gpu); !status) {
    return propagate(status.error());
  }
  if (gpu.computes_in_ram()) {
    gpu.cut_seconds = measure_gpu_cut(gpu.name()).value_or(0);  // then it is assumed
  }
  return gpu;
}

Result<BudgetChoice> beside_gpu(const EngineOptions& options, const ChosenGpu& gpu, BudgetChoice budget) {
  if (!gpu.exists() || gpu.devices.front().vram == kUnlimited || gpu.computes_in_ram()) {
    return budget;
  }
  if (!gpu.on_ram) {
    uint64_t runtime = 0;
    for (const ChosenDevice& it : gpu.devices) {
      runtime += gpu_runtime(it.info).in_ram;
    }
    if (budget.bytes <= runtime) {
      return fail(ErrorCode::kBudget,
                  "of {} of RAM the driver of {} alone takes about {}: allow more by --memory, or give --gpu none",
                  format_bytes(budget.bytes), gpu.name(), format_bytes(runtime));
    }
    budget.bytes -= runtime;
    budget.remark += runtime > 0 ? fmt::format(" beside {} for the GPU's driver", format_bytes(runtime)) : "";
    return budget;
  }
  const auto allowed = choose_budget({});
  if (!allowed) {
    return propagate(allowed.error());
  }
  const uint64_t most = allowed->bytes - std::min(allowed->bytes, gpu.vram());
  if (budget.bytes > most) {
    budget.remark = options.memory ? fmt::format(" (lowered from {}: the GPU takes {} of the machine's memory)",
                                                 format_bytes(budget.bytes), format_bytes(gpu.vram()))
                                   : "";
    budget.bytes = most;
  }
  return budget;
}

Result<BudgetChoice> planned_budget(const EngineOptions& options, const ChosenGpu& gpu, std::string& beyond) {
  auto budget = choose_budget(options);
  if (!budget) {
    return propagate(budget.error());
  }
  if (options.memory && *options.memory > budget->bytes) {
    beyond = fmt::format("this machine now allows {}: here `hypura run` would lower the budget to that",
                         format_bytes(budget->bytes));
    *budget = {*options.memory, {}};
    if (gpu.on_ram) {  // which would be lowered to this machine's again
      return budget;
    }
  }
  return beside_gpu(options, gpu, std::move(*budget));
}

}  // namespace hypura
