// Which GPU computes a model, and how much of its memory it may use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hypura/devices.h"
#include "hypura/engine.h"
#include "plan/budget_choice.h"
#include "plan/plan_overrides.h"

namespace hypura {

// What computing on a GPU takes besides all that a plan lists: its driver's context, kernels, libraries' workspaces.
struct GpuRuntime {
  uint64_t on_device = 0;
  uint64_t in_ram = 0;
};

// By GpuDeviceInfo::backend. CUDA's as measured on an H200 (docs/lab/experiments.md); Vulkan's is
// assumed.
GpuRuntime gpu_runtime(std::string_view backend);

struct ChosenGpu {
  GpuDeviceInfo device = {};  // without a name: there is none
  uint64_t vram = 0;          // bytes for the model: what it may use less GpuRuntime::on_device
  bool named = false;         // by the user: it is used also where the processors would be faster
  bool on_ram = false;        // its memory is the machine's
  double cut_seconds = 0;     // that a layer waits for its router's choice, measured now; 0: not
  std::string remark = {};    // " (lowered from ...)" when it gets less than was asked for, else empty

  bool exists() const { return !device.name.empty(); }
};

// The device that the options or `overrides` name; with "auto" the one with the most free memory of its own, if there
// is one, its memory is not another program's, and the RAM budget has room for a driver. Without EngineOptions::vram it
// may use what is free less a margin, 5 % of its memory and at least 512 MiB, for a desktop; of the machine's memory
// half of what it allows, or, where it computes in that, as much as it works with at once less 2 GiB; how long a layer
// waits there is measured. Fails with kUsage: there is no such device, several are named, or memory is given for none;
// with kBudget when the memory is less than its driver takes. The first call may take some tenths of a second
// (hypura/devices.h).
Result<ChosenGpu> choose_gpu(const EngineOptions& options, const PlanOverrides& overrides);

// `budget` less what a GPU takes of RAM: GpuRuntime::in_ram, and where its memory is the machine's that too, as far as
// both are more than the machine allows. Where it computes in that, the budget is for both: the plan divides it. Fails
// as choose_budget, with kBudget when nothing is left.
Result<BudgetChoice> beside_gpu(const EngineOptions& options, const ChosenGpu& gpu, BudgetChoice budget);

}  // namespace hypura
