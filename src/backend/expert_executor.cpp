#include "backend/expert_executor.h"

#include <algorithm>

#include "backend/worker_block.h"
#include "support/elapsed.h"
#include "support/fail.h"

namespace hypura {

ExpertExecutor::ExpertExecutor(const StreamLayout& layout, ExpertStore& store, const StreamStats& stats)
    : layout_(layout),
      store_(store),
      stats_(stats),
      end_(static_cast<uint32_t>(layout.expert_layers.size())),
      pairs_(layout.experts),
      predictions_(layout.experts) {}

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
  if (may_ask(block)) {
    return run_with_workers(block);
  }
  acquire(block, wanted_);
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

bool ExpertExecutor::may_ask(const ExpertBlock& block) {
  return workers_ != nullptr && has_worker_shape(block) && workers_->any();
}

// Workers are asked before anything is computed here, and waited for when this machine's own share is done.
Status ExpertExecutor::run_with_workers(const ExpertBlock& block) {
  const auto start = std::chrono::steady_clock::now();
  const double waited = stats_.io_wait_seconds.load(std::memory_order_relaxed);
  const bool prompt = !decoding();
  const size_t next = prompt ? predict_prompt(block) : 0;
  const bool asked = workers_->ask(
      {block, pairs_, wanted_, prompt ? SharedWork::kPrompt : SharedWork::kTokens, std::span(predictions_).first(next)},
      store_, own_);
  acquire(block, own_);
  if (next > 0) {
    store_.stream_ahead(block.layer + 1, asked ? workers_->own_next() : std::span(predictions_).first(next));
  } else if (!prompt && !asked) {
    predict(block);
  }
  Status status = asked ? compute_parts(block, [&] { workers_->advance(block); }) : compute(block);
  store_.finish();
  workers_->note_own(seconds_since(start), stats_.io_wait_seconds.load(std::memory_order_relaxed) - waited);
  if (asked) {
    workers_->collect(block, pairs_, own_);
  }
  return status && asked && !own_.empty() ? compute_lost(block) : status;
}

// What workers were asked for and did not give. The store knows the pass's choice already.
Status ExpertExecutor::compute_lost(const ExpertBlock& block) {
  store_.acquire(block.layer, {{}, static_cast<uint32_t>(block.used()), decoding()}, own_);
  Status status = leased_->compute(block, pairs_);
  store_.finish();
  return status;
}

void ExpertExecutor::acquire(const ExpertBlock& block, std::span<const uint32_t> experts) {
  const auto used = static_cast<uint32_t>(block.used());
  store_.acquire(block.layer, {routed_, used, decoding()}, experts);
  if (recorder_ != nullptr) {
    recorder_->note(block.layer, used, routed_, static_cast<uint32_t>(store_.hits()));
  }
}

bool ExpertExecutor::decoding() const {
  return stats_.phase.load(std::memory_order_relaxed) == Phase::kDecode;
}

// What the next layer may choose: while the disk is busy with what this one chose.
void ExpertExecutor::predict(const ExpertBlock& block) {
  if (!said_.empty()) {
    store_.stream_ahead(said_layer_, said_);
    said_.clear();
  } else if (!decoding()) {
    if (const size_t predicted = predict_prompt(block); streams_prompts_ && !is_last(block)) {
      store_.stream_ahead(block.layer + 1, std::span(predictions_).first(predicted));
    }
  } else if (predictor_ != nullptr && block.tokens() <= BlockPredictor::kMostRows) {
    const ChoosingBlock choosing = {block.layer, block.ids, block.nodes.front().node->src[1]};
    const size_t predicted = predictor_->predict(choosing, routed_, predictions_);
    if (predicted > 0 && !is_last(block)) {
      store_.prefetch(block.layer + 1, std::span(predictions_).first(predicted));
    }
  }
}

// What the tokens of a prompt want of the next layer, what most of them want first; nothing where that is not to be
// read ahead.
size_t ExpertExecutor::predict_prompt(const ExpertBlock& block) {
  return streams_prompts_ && !is_last(block)
             ? predict_choice({block.layer, block.ids, block.nodes.front().node->src[1]})
             : 0;
}

// Where nobody can tell, and where every expert has a slot and is kept for later, all, if they make choices enough.
size_t ExpertExecutor::predict_choice(const ChoosingBlock& block) {
  const uint32_t next = block.layer + 1;
  const auto all = static_cast<size_t>(block.tokens());
  const bool few = next + 1 == layout_.expert_layers.size() && !store_.holds_all();
  const size_t tokens = few ? std::min(outputs_, all) : all;
  if (tokens == 0) {
    return 0;
  }
  const size_t predicted = prompt_predictor_ == nullptr
                               ? 0
                               : prompt_predictor_->predict_prompt(block, static_cast<int64_t>(tokens), predictions_);
  return predicted > 0 && !store_.holds_all()
             ? predicted
             : predict_all(next, tokens * static_cast<size_t>(block.used()), predicted);
}

// All experts of `layer`, behind those that are `predicted` already, if so many choices are to be made there that
// nearly every one is wanted.
size_t ExpertExecutor::predict_all(uint32_t layer, size_t choices, size_t predicted) {
  const uint32_t experts = layout_.expert_layers[layer].experts;
  if (choices < size_t{kChoicesForAll} * experts) {
    return predicted;
  }
  const auto first = std::span(predictions_).first(predicted);
  for (uint32_t expert = 0; expert < experts; ++expert) {
    if (std::ranges::find(first, expert, &ExpertPrediction::expert) == first.end()) {
      predictions_[predicted++] = {expert, 0};
    }
  }
  return predicted;
}

void ExpertExecutor::begin_pass(size_t outputs, size_t choices) {
  outputs_ = outputs;
  if (streams_prompts_ && choices > 0) {
    const auto all = std::span(predictions_).first(predict_all(0, choices, 0));
    store_.stream_ahead(0, workers_ == nullptr ? all : workers_->own_of_first(all, choices, store_));
  }
}

Status ExpertExecutor::compute(const ExpertBlock& block) {
  const size_t all = store_.leases().size();
  const auto pairs = static_cast<uint32_t>(block.used() * block.tokens());
  const uint32_t most = std::max(ExpertBatch::kRowsTogether, static_cast<uint32_t>(block.used()));
  if (store_.hits() == all && pairs <= most && block.tokens() < batch_->own_call_rows(block.layer) &&
      block.input_rows == nullptr) {
    return batch_->compute_whole(block, leased_->chosen(0, all, pairs_));
  }
  return compute_parts(block);
}

// What is leased, in memory of our own.
Status ExpertExecutor::compute_parts(const ExpertBlock& block, const std::function<void()>& between) {
  Status status = batch_->keep_inputs(block);
  return status ? leased_->compute(block, pairs_, between) : status;
}

}  // namespace hypura
