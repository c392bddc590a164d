// Which GPU computes a model, and how much of its memory it may use.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/devices.h"
#include "hypura/engine.h"
#include "plan/budget_choice.h"
#include "plan/plan_overrides.h"

namespace hypura {

struct ChosenGpu {
  GpuDeviceInfo device = {};  // without a name: there is none
  uint64_t vram = 0;          // bytes for the model
  bool named = false;         // by the user: it is used also where the processors would be faster
  bool on_ram = false;        // its memory is the machine's
  std::string remark = {};    // " (lowered from ...)" when it gets less than was asked for, else empty

  bool exists() const { return !device.name.empty(); }
};

// The device that the options or `overrides` name; with "auto" the one with the most free memory of its own, if there
// is one. Without EngineOptions::vram it may use what is free less a margin, 5 % of its memory and at least 512 MiB,
// for a desktop and for what kernels take besides; of the machine's memory half of what it allows. Fails with kUsage:
// there is no such device, several are named, or memory is given for none. The first call may take some tenths of a
// second (hypura/devices.h).
Result<ChosenGpu> choose_gpu(const EngineOptions& options, const PlanOverrides& overrides);

// `budget` less what a GPU takes of the machine's own memory, as far as both are more than the machine allows. Fails as
// choose_budget.
Result<BudgetChoice> beside_gpu(const EngineOptions& options, const ChosenGpu& gpu, BudgetChoice budget);

}  // namespace hypura
