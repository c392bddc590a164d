// Layers that pass through whole: for passes that need nearly all of their experts.
#include "backend/gpu/gpu_executor.h"
#include "backend/gpu/prefetch/slot_prefetch.h"

namespace hypura {

Status GpuExecutor::use_staged(ggml_cgraph* graph, const Block& block) {
  give_back();
  if (prefetch_ != nullptr) {
    prefetch_->give_way(block.layer);
  }
  Status status = device_.computes_in_ram() ? stage_by_reading(graph, block) : stage_by_copying(graph, block);
  if (!status) {
    return status;
  }
  ++stats_.staged_layers;
  const uint32_t experts = layers_[block.layer].experts;
  (decode_ ? stats_.decode_lookups : stats_.prefill_lookups) += experts;
  (decode_ ? stats_.decode_hits : stats_.prefill_hits) += experts - staging_->missed();
  patch(block, staging_->matrices(block.layer), nullptr);
  status = compute(graph, block.last + 1);
  staging_->used(block.layer);
  return status;
}

// As many as there are slots for, and more tokens than slots give the same bits for.
Status GpuExecutor::use_numbered(ggml_cgraph* graph, const Block& block) {
  give_back();
  if (prefetch_ != nullptr) {
    prefetch_->give_way(block.layer);
  }
  Status status = bring_chosen(block);
  if (status) {
    staging_->gather(block.layer, wanted_);
  }
  store_->finish();
  if (!status) {
    return status;
  }
  patch(block, staging_->matrices(block.layer), nullptr);
  status = compute(graph, block.last + 1);
  staging_->used(block.layer);
  return status;
}

// The copies begin before what leads to the layer's choice is handed over: while that is done, the device still has the
// layer before to compute with.
Status GpuExecutor::stage_by_copying(ggml_cgraph* graph, const Block& block) {
  Status status = seeds_->settle_all();
  if (status) {
    status = staging_->bring(block.layer, decode_);
  }
  if (status) {
    status = compute(graph, block.first);
  }
  if (status && seeds(block)) {
    seeds_->fetch(block.layer, *block.ids);
  }
  if (status) {
    staging_->complete(block.layer);
  }
  return status;
}

Status GpuExecutor::stage_by_reading(ggml_cgraph* graph, const Block& block) {
  Status status = compute(graph, block.first);
  if (status) {
    status = seeds_->settle(staging_->half_of(block.layer));
  }
  if (status) {
    status = staging_->bring(block.layer, decode_);
  }
  if (!status) {
    return status;
  }
  staging_->complete(block.layer);
  ggml_backend_synchronize(device_.stream());  // behind the reads: it computed the layer before meanwhile
  staging_->synchronized();
  if (seeds(block)) {
    seeds_->fetch(block.layer, *block.ids);
  }
  return {};
}

bool GpuExecutor::seeds(const Block& block) const {
  return !decode_ && device_layers_[block.layer].slots > 0;
}

}  // namespace hypura
