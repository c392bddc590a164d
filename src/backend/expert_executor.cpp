#include "backend/expert_executor.h"

#include <algorithm>

#include "support/fail.h"

namespace hypura {

ExpertExecutor::ExpertExecutor(const StreamLayout& layout, ExpertStore& store, const StreamStats& stats)
    : layout_(layout), store_(store), stats_(stats), pairs_(layout.experts), predictions_(layout.experts) {}

Result<std::unique_ptr<ExpertExecutor>> ExpertExecutor::create(const StreamLayout& layout, ExpertStore& store,
                                                               InnerGraph& inner, const StreamStats& stats,
                                                               uint32_t max_rows, RepackBuffer* repack) {
  std::unique_ptr<ExpertExecutor> executor(new ExpertExecutor(layout, store, stats));
  auto batch = ExpertBatch::create(layout, store, inner, max_rows, repack);
  if (!batch) {
    return propagate(batch.error());
  }
  executor->batch_ = std::move(*batch);
  executor->leased_ = std::make_unique<LeasedExperts>(store, *executor->batch_, max_rows);
  return executor;
}

Status ExpertExecutor::run(const ExpertBlock& block) {
  if (Status status = collect(block); !status) {
    return status;
  }
  acquire(block);
  predict(block);
  Status status = compute(block);
  store_.finish();
  return status;
}

// Sorts the pairs by the expert they chose.
Status ExpertExecutor::collect(const ExpertBlock& block) {
  for (std::vector<uint32_t>& pairs : pairs_) {
    pairs.clear();
  }
  routed_.clear();
  const uint32_t experts = layout_.expert_layers[block.layer].experts;
  for (int64_t token = 0; token < block.tokens(); ++token) {
    for (int64_t k = 0; k < block.used(); ++k) {
      const auto* id = reinterpret_cast<const int32_t*>(static_cast<const std::byte*>(block.ids->data) +
                                                        token * block.ids->nb[1] + k * block.ids->nb[0]);
      if (*id < 0 || static_cast<uint32_t>(*id) >= experts) {
        return fail(ErrorCode::kInternal, "layer {}: the router chose expert {} of {}",
                    layout_.expert_layers[block.layer].layer, *id, experts);
      }
      pairs_[static_cast<size_t>(*id)].push_back(static_cast<uint32_t>(token * block.used() + k));
      routed_.push_back(static_cast<uint16_t>(*id));
    }
  }
  wanted_.clear();
  for (uint32_t expert = 0; expert < pairs_.size(); ++expert) {
    if (!pairs_[expert].empty()) {
      wanted_.push_back(expert);
    }
  }
  return {};
}

void ExpertExecutor::acquire(const ExpertBlock& block) {
  const auto used = static_cast<uint32_t>(block.used());
  store_.acquire(block.layer, {routed_, used, decoding()}, wanted_);
  if (recorder_ != nullptr) {
    recorder_->note(block.layer, used, routed_, static_cast<uint32_t>(store_.hits()));
  }
}

bool ExpertExecutor::decoding() const {
  return stats_.phase.load(std::memory_order_relaxed) == Phase::kDecode;
}

// What the next layer may choose: while the disk is busy with what this one chose.
void ExpertExecutor::predict(const ExpertBlock& block) {
  const uint32_t next = block.layer + 1;
  size_t predicted = 0;
  if (decoding()) {
    const bool wanted = predictor_ != nullptr && block.tokens() <= BlockPredictor::kMostRows;
    const ChoosingBlock choosing = {block.layer, block.ids, block.nodes.front().node->src[1]};
    predicted = wanted ? predictor_->predict(choosing, routed_, predictions_) : 0;
  } else if (prefetches_in_prompts_ && next < layout_.expert_layers.size() &&
             routed_.size() >= size_t{kChoicesForAll} * layout_.expert_layers[next].experts) {
    predicted = layout_.expert_layers[next].experts;
    for (uint32_t expert = 0; expert < predicted; ++expert) {
      predictions_[expert] = {expert, 1};
    }
  }
  if (predicted > 0) {
    store_.prefetch(next, std::span(predictions_).first(predicted));
  }
}

Status ExpertExecutor::compute(const ExpertBlock& block) {
  const size_t all = store_.leases().size();
  if (store_.hits() == all && block.tokens() < ExpertBatch::kOwnCallRows) {
    return batch_->compute_whole(block, leased_->chosen(0, all, pairs_));
  }
  Status status = batch_->keep_inputs(block);
  return status ? leased_->compute(block, pairs_) : status;
}

}  // namespace hypura
