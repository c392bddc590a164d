// Experts of several machines: what StreamedWeights makes of workers beside this one, and what it computes as one.
#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cpu_kernels.h"
#include "backend/expert_block.h"
#include "backend/expert_executor.h"
#include "backend/remote_experts.h"
#include "backend/repack_buffer.h"
#include "backend/streamed_weights.h"
#include "support/fail.h"

namespace hypura {

Status StreamedWeights::ask_workers(std::span<const WorkerAddress> workers, uint64_t fingerprint,
                                    const std::string& llama, const AskingManner& manner) {
  if (experts_ == nullptr || workers.empty()) {
    return {};
  }
  WorkerHello hello;
  hello.identity = worker_identity(fingerprint, layout_.repacked, llama, cpu_kernels());
  hello.repacks = repack_buffer_ == nullptr ? 0 : RepackBuffer::expert_types(layout_);
  auto made = RemoteExperts::create(layout_, workers, hello, manner);
  if (!made) {
    return propagate(made.error());
  }
  workers_ = std::move(*made);
  experts_->compute_with(workers_.get());
  warm_workers();
  return {};
}

// Once both are known, whichever comes first.
void StreamedWeights::warm_workers() {
  if (workers_ != nullptr && !recalled_hot_.empty()) {
    workers_->keep_warm(std::exchange(recalled_hot_, {}), expert_store_->quotas());
  }
}

void StreamedWeights::follow_repacking(uint64_t types) {
  const std::lock_guard lock(mutex_);
  layout_.never_repacked.clear();
  for (const ExpertLayer& layer : layout_.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      const int type = part.tensor->type;
      if ((types >> static_cast<uint32_t>(type) & 1) == 0) {
        layout_.never_repacked.push_back(type);
      }
    }
  }
  experts_->follow_layout();
}

Status StreamedWeights::compute_block(const ExpertBlock& block, Phase phase, std::span<const LayerExpert> ahead) {
  const std::lock_guard lock(mutex_);
  stats_.phase.store(phase, std::memory_order_relaxed);
  std::vector<ExpertPrediction> next;
  for (const LayerExpert& it : ahead) {
    next.push_back({it.expert, 1});
  }
  experts_->read_ahead(ahead.empty() ? 0 : ahead.front().layer, next);
  return experts_->run(block);
}

std::vector<const WorkerStats*> StreamedWeights::worker_stats() const {
  std::vector<const WorkerStats*> all;
  if (workers_ != nullptr) {
    for (const WorkerStats& it : workers_->stats()) {
      all.push_back(&it);
    }
  }
  return all;
}

}  // namespace hypura
