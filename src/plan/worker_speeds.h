// Workers in a plan: what one tells of itself, and what that means for a placement problem.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/stream_layout.h"
#include "hypura/profile.h"
#include "placement/worker_choice.h"
#include "remote/worker_session.h"
#include "residency/machine_speed.h"

namespace hypura {

// One that was found, and what became of it.
struct PlannedWorker {
  FoundWorker found;
  WorkerPart part;                     // where it helps
  std::optional<WorkerChoice> choice;  // none: it does not help

  bool left_out() const { return choice && !choice->asked; }  // it does not pay, or nothing fits beside messages to it
};

// Puts in what this machine takes for the experts of `layout`, in the mean of its layers, by `profile`; of a layout
// without experts for its feed-forward parts; nothing without a profile.
void tell_speeds(const StreamLayout& layout, const MachineProfile* profile, uint32_t threads, WorkerVerdict& verdict);

// How many times as long as this machine a worker takes to compute, by what it tells; 1 where it tells nothing.
// `layout`, `profile` and `threads`: as of tell_speeds(), here.
double slower_there(const WorkerVerdict& verdict, const StreamLayout& layout, const MachineProfile* profile,
                    uint32_t threads);

// Of a worker that helps. What it does not know of its speed is taken for this machine's. `layout`: of `problem`, with
// its experts streamed, or its dense weights where it has none.
WorkerPart worker_part(const FoundWorker& found, const StreamLayout& layout, const PlacementProblem& problem);

// This machine's share of a layer, in the mean of its layers: an expert that is read, and one that is computed. Of a
// dense model: a feed-forward part that is computed.
MachineSpeed speed_here(const PlacementProblem& problem);

}  // namespace hypura
