// The workers that compute experts beside this machine: what StreamedWeights makes of them.
#include <utility>

#include "backend/cpu_kernels.h"
#include "backend/expert_executor.h"
#include "backend/remote_experts.h"
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
  auto made = RemoteExperts::create(layout_, workers, hello, manner);
  if (!made) {
    return propagate(made.error());
  }
  workers_ = std::move(*made);
  experts_->compute_with(workers_.get());
  return {};
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
