// Experts and feed-forward parts of several machines: what StreamedWeights makes of workers beside this one, and what
// it computes as one.
#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "backend/cpu_kernels.h"
#include "backend/dense_executor.h"
#include "backend/expert_block.h"
#include "backend/expert_executor.h"
#include "backend/remote_experts.h"
#include "backend/remote_ffn.h"
#include "backend/repack_buffer.h"
#include "backend/streamed_weights.h"
#include "support/fail.h"
#include "tiers/dense_store.h"

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

std::vector<FoundWorker> StreamedWeights::found_workers() {
  if (workers_ != nullptr) {
    return workers_->found();
  }
  return ffn_workers_ == nullptr ? std::vector<FoundWorker>() : ffn_workers_->found();
}

void StreamedWeights::dismiss_worker(size_t worker) {
  if (workers_ != nullptr) {
    workers_->dismiss(worker);
  } else {
    ffn_workers_->dismiss(worker);
  }
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
  const auto follow = [&](const TensorInfo& tensor) {
    if ((types >> static_cast<uint32_t>(tensor.type) & 1) == 0) {
      layout_.never_repacked.push_back(tensor.type);
    }
  };
  for (const ExpertLayer& layer : layout_.expert_layers) {
    std::ranges::for_each(layer.parts, [&](const ExpertPart& part) { follow(*part.tensor); });
  }
  std::ranges::for_each(layout_.dense, [&](const DenseItem& item) { follow(*item.tensor); });
  if (experts_ != nullptr) {
    experts_->follow_layout();
  }
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

uint64_t StreamedWeights::worker_message_bytes(const StreamLayout& layout) {
  const bool ffn = layout.workers > 0 && layout.expert_layers.empty();
  return ffn ? layout.workers * RemoteFfn::bytes_for(layout) : 0;
}

Status StreamedWeights::ask_ffn_workers(std::span<const WorkerAddress> workers, uint64_t fingerprint,
                                        const std::string& llama, const AskingManner& manner, double bytes_per_second) {
  if (dense_ == nullptr || workers.empty() || worker_layers(layout_).empty()) {
    return {};
  }
  WorkerHello hello;
  hello.identity = worker_identity(fingerprint, layout_.repacked, llama, cpu_kernels());
  const auto pinned = [this](uint32_t item) { return dense_store_->pinned(item) != nullptr; };
  auto made = RemoteFfn::create(layout_, workers, hello, {pinned, bytes_per_second, manner});
  if (!made) {
    return propagate(made.error());
  }
  ffn_workers_ = std::move(*made);
  return {};
}

// The node after the feed-forward part that begins at `start`, where a worker has computed it; else `start`. What is
// computed repacked here is not asked for: workers repack nothing.
Result<int> StreamedWeights::ask_for_ffn(ggml_cgraph* graph, int start) {
  if (ffn_workers_ == nullptr || !ffn_workers_->any()) {
    return start;
  }
  const ggml_tensor* product = ggml_graph_node(graph, start);
  const auto layer = ffn_layer_of(*find(product->src[0]), ffn_workers_->layers());
  if (!layer || !ffn_workers_->wants(*layer, product->ne[1])) {
    return start;
  }
  const auto block = parse_ffn_block(graph, start, *this, ffn_workers_->layers());
  ffn_workers_->note_parsed(block.has_value());
  if (!block) {
    return start;
  }
  for (const ggml_tensor* node : block->nodes) {
    if (node->op == GGML_OP_MUL_MAT && dense_->repacks(*node, *find(node->src[0]))) {
      return start;
    }
  }
  if (Status status = dense_->flush(); !status) {  // of which the input may be
    return propagate(status.error());
  }
  inner_->rest();
  return ffn_workers_->compute(*block) ? block->end : start;
}

std::vector<const WorkerStats*> StreamedWeights::worker_stats() const {
  std::vector<const WorkerStats*> all;
  const auto add = [&](const std::deque<WorkerStats>& some) {
    for (const WorkerStats& it : some) {
      all.push_back(&it);
    }
  };
  if (workers_ != nullptr) {
    add(workers_->stats());
  } else if (ffn_workers_ != nullptr) {
    add(ffn_workers_->stats());
  }
  return all;
}

Status StreamedWeights::take_dense_room(uint64_t room) {
  const std::lock_guard lock(mutex_);
  return dense_store_->take_room(room);
}

// What is gone first gives its memory back, before there is other.
Status StreamedWeights::replace_slots(const ExpertPlacement& experts) {
  stop_warming_ = true;
  if (warm_thread_.joinable()) {
    warm_thread_.join();
  }
  stop_warming_ = false;
  const std::lock_guard lock(mutex_);
  experts_.reset();
  expert_store_.reset();
  placed_ = experts;
  return allocate_experts(placed_rows_);
}

void StreamedWeights::keep_dense(std::span<const uint32_t> items) {
  const std::lock_guard lock(mutex_);
  dense_store_->keep_as_used(items);
}

uint64_t StreamedWeights::pinned_bytes(std::span<const uint32_t> items) const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const uint32_t item : items) {
    bytes += dense_store_->pinned(item) == nullptr ? 0 : layout_.dense[item].extent.length;
  }
  return bytes;
}

}  // namespace hypura
