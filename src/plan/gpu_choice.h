// Which GPUs compute a model, and how much of their memory they may use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/devices.h"
#include "hypura/engine.h"
#include "machine/gpu_drivers.h"
#include "plan/budget_choice.h"
#include "plan/plan_overrides.h"

namespace hypura {

class RemoteLayers;

// What computing on a GPU takes besides all that a plan lists: its driver's context, kernels, libraries' workspaces.
struct GpuRuntime {
  uint64_t on_device = 0;
  uint64_t in_ram = 0;
};

// Whether a GPU that is not named is passed over because its free memory is not more than its driver takes: others have
// the rest.
bool is_taken(const GpuDeviceInfo& device);

// Why no GPU is asked for where RAM has `budget` bytes: a driver takes its part from the moment it is asked. Empty:
// there is room, or no driver.
std::string no_room_for_driver(uint64_t budget, const GpuDrivers& drivers);

// CUDA's as measured on an H200 (docs/lab/experiments.md); Vulkan's is assumed.
GpuRuntime gpu_runtime(const GpuDeviceInfo& device);

struct ChosenDevice {
  GpuDeviceInfo info;
  uint64_t vram = 0;  // bytes for the model: what it may use less GpuRuntime::on_device
  // " (lowered from ...) beside 384.0 MiB for its driver"; empty where there is nothing to say
  std::string remark = {};
  double visit_seconds = 0;  // of a worker: what going there takes, for each pass
  double slower = 1;         // of a worker: than the processors here
  // Of one that computes layers with experts: tokens of a pass at most, and bytes that an expert takes there.
  uint32_t most_rows = 0;
  uint64_t slot_bytes = 0;
};

struct ChosenGpu {
  std::vector<ChosenDevice> devices = {};  // none: the processors compute
  bool named = false;      // by the user: all are used, also where fewer or the processors would be faster
  bool on_ram = false;     // its memory is the machine's; it is alone then
  double cut_seconds = 0;  // of one that computes in RAM: what a layer waits for its router's choice, measured now; 0:
                           // it was not
  // Workers that compute whole layers take the GPUs' places, `devices` has one for each: they have the memory that they
  // give. They outlive the model.
  std::vector<RemoteLayers*> workers = {};
  std::string passed_over = {};  // what stood in the way of one that was not named, a clause; else empty

  bool exists() const { return !devices.empty(); }
  std::string name() const;  // "CUDA0", "CUDA0 and CUDA1"; empty where there is none
  uint64_t vram() const;     // of all devices
  // ChosenDevice::remark of those; of several " (CUDA0 ...; CUDA1 ...)".
  std::string remark(const std::vector<std::string>& names) const;
  // The processors stand for the GPU.
  bool is_processor() const { return exists() && devices.front().info.name == "CPU"; }
  bool has_workers() const { return !workers.empty(); }
  bool computes_in_ram() const { return exists() && devices.front().info.computes_in_ram; }
};

// "CUDA0, CUDA1 and CUDA2".
std::string joined_names(const std::vector<std::string>& names);

// What the options give of the memory of ChosenGpu::devices[device]: their `vram`, or its own; none: "auto".
std::optional<uint64_t> asked_vram(const EngineOptions& options, size_t device);

// The devices that the options or `overrides` name; with "auto" those with memory of their own, the most free memory
// first, that is not another program's: one where the RAM budget has room for its driver, more where their drivers take
// an eighth of it at most; or one that computes in RAM. Without EngineOptions::vram each may use what is free less a
// margin, 5 % of its memory and at least 512 MiB, for a desktop; of the machine's memory half of what it allows, or,
// where it computes in that, as much as it works with at once less 2 GiB. How long a layer waits there is measured.
// Fails with kUsage: there is no such device, several are named that cannot compute together, or memory is given for
// none, or for more or fewer than are named; with kBudget when the memory is less than its driver takes. The first call
// may take some tenths of a second (hypura/devices.h).
Result<ChosenGpu> choose_gpu(const EngineOptions& options, const PlanOverrides& overrides);

// `budget` less what the GPUs take of RAM: GpuRuntime::in_ram of each, and where its memory is the machine's that too,
// as far as both are more than the machine allows. Where it computes in that, the budget is for both, and the plan
// divides it. Fails as choose_budget, with kBudget when nothing is left.
Result<BudgetChoice> beside_gpu(const EngineOptions& options, const ChosenGpu& gpu, BudgetChoice budget);

// What is planned with: choose_budget() and that. A plan may be made for another machine: where the options ask for
// more RAM than this one allows, it is for what they ask, and `beyond` says so. Fails likewise.
Result<BudgetChoice> planned_budget(const EngineOptions& options, const ChosenGpu& gpu, std::string& beyond);

}  // namespace hypura
