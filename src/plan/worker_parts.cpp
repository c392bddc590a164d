#include "plan/worker_parts.h"

#include "backend/streamed_weights.h"
#include "backend/worker_layers.h"

namespace hypura {

void add_worker_parts(const StreamLayout& layout, PlacementProblem& problem) {
  problem.worker_bytes = StreamedWeights::worker_message_bytes(layout);
  if (layout.workers == 0 || !layout.expert_layers.empty()) {
    return;
  }
  int part = 0;
  for (const WorkerLayer& layer : worker_layers(layout)) {
    for (const uint32_t item : layer.items) {
      problem.dense[item].part = part;
    }
    ++part;
  }
}

}  // namespace hypura
