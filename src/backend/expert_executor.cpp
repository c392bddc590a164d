#include "backend/expert_executor.h"

#include <algorithm>
#include <cstring>

#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kRowAlignment = 64;

uint64_t extra_row_bytes(int64_t elements) { return round_up(static_cast<uint64_t>(elements) * 4, kRowAlignment); }

}  // namespace

ExpertExecutor::ExpertExecutor(const StreamLayout& layout, Reader& reader, InnerGraph& inner, StreamStats& stats,
                               const ExpertCache::Config& config)
    : layout_(layout), reader_(reader), inner_(inner), stats_(stats), cache_(config), demands_(layout.experts) {
  for (uint32_t expert = 0; expert < layout.experts; ++expert) {
    demands_[expert].expert = expert;
  }
}

Result<std::unique_ptr<ExpertExecutor>> ExpertExecutor::create(const StreamLayout& layout, Reader& reader,
                                                               InnerGraph& inner, StreamStats& stats, uint32_t slots,
                                                               uint32_t spare, uint32_t max_rows) {
  const ExpertCache::Config config = {static_cast<uint32_t>(layout.expert_layers.size()), layout.experts, slots, spare};
  std::unique_ptr<ExpertExecutor> executor(new ExpertExecutor(layout, reader, inner, stats, config));
  auto memory = MemoryRegion::allocate(slots * layout.slot_stride);
  if (!memory) {
    return propagate(memory.error(), "the expert slots");
  }
  auto rows = MemoryRegion::allocate(max_rows * row_bytes(layout));
  if (!rows) {
    return propagate(rows.error(), "the expert row buffers");
  }
  executor->slots_ = std::move(*memory);
  executor->rows_ = std::move(*rows);
  executor->max_rows_ = max_rows;
  reader.register_memory(executor->slots_.span());
  return executor;
}

uint64_t ExpertExecutor::row_bytes(const StreamLayout& layout) {
  uint64_t most = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    uint64_t bytes = 0;
    for (const ExpertPart& part : layer.parts) {
      // Input as kept and as gathered, product, and up to two row operations on it (bias, activation).
      bytes += 2 * extra_row_bytes(part.tensor->shape[0]) + 3 * extra_row_bytes(part.tensor->shape[1]);
    }
    most = std::max(most, bytes);
  }
  return most;
}

Status ExpertExecutor::run(const ExpertBlock& block) {
  const auto start = std::chrono::steady_clock::now();
  const double waited = stats_.io_wait_seconds.load(std::memory_order_relaxed);
  if (Status status = collect(block); !status) {
    return status;
  }
  look_up(block);
  issue_reads(block);
  const bool whole = misses_.empty() && block.tokens() < kOwnCallRows;
  Status status = whole ? compute_whole(block) : keep_inputs(block);
  if (status && !whole) {
    status = compute_hits(block);
  }
  if (status) {
    status = compute_misses(block);
  }
  if (!status) {
    drain(block);
  }
  settle(block);
  const double wait = stats_.io_wait_seconds.load(std::memory_order_relaxed) - waited;
  stats_.compute_seconds.store(stats_.compute_seconds.load(std::memory_order_relaxed) + seconds_since(start) - wait,
                               std::memory_order_relaxed);
  return status;
}

// Sorts the pairs by the expert they chose.
Status ExpertExecutor::collect(const ExpertBlock& block) {
  for (Demand& demand : demands_) {
    demand.pairs.clear();
  }
  const uint32_t experts = layout_.expert_layers[block.layer].experts;
  for (int64_t token = 0; token < block.tokens(); ++token) {
    for (int64_t k = 0; k < block.used(); ++k) {
      const auto* id = reinterpret_cast<const int32_t*>(static_cast<const std::byte*>(block.ids->data) +
                                                        token * block.ids->nb[1] + k * block.ids->nb[0]);
      if (*id < 0 || static_cast<uint32_t>(*id) >= experts) {
        return fail(ErrorCode::kInternal, "layer {}: the router chose expert {} of {}",
                    layout_.expert_layers[block.layer].layer, *id, experts);
      }
      demands_[static_cast<size_t>(*id)].pairs.push_back(static_cast<uint32_t>(token * block.used() + k));
    }
  }
  return {};
}

void ExpertExecutor::look_up(const ExpertBlock& block) {
  hits_.clear();
  misses_.clear();
  next_miss_ = 0;
  cache_.begin(block.layer, static_cast<uint32_t>(block.tokens()));
  for (Demand& demand : demands_) {
    if (demand.pairs.empty()) {
      continue;
    }
    const auto slot = cache_.lookup(block.layer, demand.expert, static_cast<uint32_t>(demand.pairs.size()));
    demand.slot = slot.value_or(0);
    demand.group = 0;
    (slot ? hits_ : misses_).push_back(&demand);
  }
  const bool decode = stats_.phase.load(std::memory_order_relaxed) == Phase::kDecode;
  (decode ? stats_.decode_lookups : stats_.prefill_lookups) += hits_.size() + misses_.size();
  (decode ? stats_.decode_hits : stats_.prefill_hits) += hits_.size();
}

// Requests all slices of each missing expert together, as long as slots are free.
void ExpertExecutor::issue_reads(const ExpertBlock& block) {
  const ExpertLayer& layer = layout_.expert_layers[block.layer];
  std::vector<ReadRequest> requests(layer.parts.size());
  for (; next_miss_ < misses_.size(); ++next_miss_) {
    Demand& demand = *misses_[next_miss_];
    const auto slot = cache_.take(block.layer, demand.expert);
    if (!slot) {
      return;
    }
    demand.slot = *slot;
    for (size_t i = 0; i < layer.parts.size(); ++i) {
      const ExpertPart& part = layer.parts[i];
      const Extent extent = part.tensor->expert_extent(demand.expert);
      requests[i] = {extent.file, extent.offset, extent.length,
                     slot_data(*slot) + part.place + extent.offset % kDirectAlignment};
    }
    demand.group = reader_.submit(requests, Priority::kDemand);
  }
}

// Takes in an expert whose reads have ended.
Status ExpertExecutor::land(const ExpertBlock& block, Demand& demand) {
  const ExpertLayer& layer = layout_.expert_layers[block.layer];
  const auto start = std::chrono::steady_clock::now();
  Status status = reader_.wait(demand.group);
  add_seconds(stats_.io_wait_seconds, start);
  demand.group = 0;
  if (!status) {
    cache_.abandon(block.layer, demand.expert);
    return propagate(status.error(), fmt::format("expert {} of layer {}", demand.expert, layer.layer));
  }
  for (const ExpertPart& part : layer.parts) {
    if (part.moved) {
      std::byte* room = slot_data(demand.slot) + part.place;
      const uint64_t landed = part.tensor->expert_extent(demand.expert).offset % kDirectAlignment;
      std::memmove(room + part.shift, room + landed, part.slice_bytes);
    }
  }
  cache_.commit(block.layer, demand.expert);
  return {};
}

// The demands from `begin` on that are computed in one call: as many as fit the row buffers, or one with many rows.
// `ready` tells whether a demand may join; the first always does.
template <class Ready>
size_t ExpertExecutor::batch_end(const std::vector<Demand*>& demands, size_t begin, size_t end, Ready ready) const {
  uint64_t rows = demands[begin]->pairs.size();
  size_t i = begin + 1;
  while (demands[begin]->pairs.size() < kOwnCallRows && i < end && demands[i]->pairs.size() < kOwnCallRows &&
         rows + demands[i]->pairs.size() <= max_rows_ && ready(*demands[i])) {
    rows += demands[i++]->pairs.size();
  }
  return i;
}

// Resident experts, in batches; between batches the reader is given the chance to issue more.
Status ExpertExecutor::compute_hits(const ExpertBlock& block) {
  for (size_t done = 0; done < hits_.size();) {
    const size_t end = batch_end(hits_, done, hits_.size(), [](const Demand&) { return true; });
    if (Status status = compute(block, {hits_.begin() + done, hits_.begin() + end}); !status) {
      return status;
    }
    reader_.poll();
    done = end;
  }
  return {};
}

// Missing experts, in the order they were asked for; those that have landed together are computed together.
Status ExpertExecutor::compute_misses(const ExpertBlock& block) {
  for (size_t done = 0; done < misses_.size();) {
    const size_t end =
        batch_end(misses_, done, next_miss_, [&](const Demand& demand) { return reader_.finished(demand.group); });
    const std::span<Demand*> batch(misses_.begin() + done, misses_.begin() + end);
    Status status;
    size_t landed = 0;
    while (status && landed < batch.size()) {
      status = land(block, *batch[landed]);
      landed += status ? 1 : 0;
    }
    if (status) {
      status = compute(block, batch);
    }
    for (const Demand* demand : batch.first(landed)) {
      cache_.release(block.layer, demand->expert);
    }
    if (!status) {
      return status;
    }
    issue_reads(block);
    done = end;
  }
  return {};
}

// Unpins the hits, now that the block is done.
void ExpertExecutor::settle(const ExpertBlock& block) {
  for (const Demand* demand : hits_) {
    cache_.release(block.layer, demand->expert);
  }
}

// After a failure: ends the reads still under way, so that no slot is written behind the cache's back.
void ExpertExecutor::drain(const ExpertBlock& block) {
  for (size_t i = 0; i < next_miss_; ++i) {
    if (misses_[i]->group != 0) {
      reader_.cancel(misses_[i]->group);
      static_cast<void>(reader_.wait(misses_[i]->group));  // the first error is the one that is reported
      cache_.abandon(block.layer, misses_[i]->expert);
    }
  }
}

std::byte* ExpertExecutor::take_rows(uint64_t bytes) {
  std::byte* memory = rows_.data() + rows_used_;
  rows_used_ += round_up(bytes, kRowAlignment);
  return rows_used_ <= rows_.size() ? memory : nullptr;
}

// Copies the block's inputs into memory of our own: in llama.cpp's plan their memory is free once gate and up are done,
// and the block's results may lie there; ours are scattered before the last gate and up are computed.
Status ExpertExecutor::keep_inputs(const ExpertBlock& block) {
  kept_.clear();
  rows_used_ = 0;
  for (const BlockNode& it : block.nodes) {
    const ggml_tensor* source = it.node->src[1];
    if (it.weight == nullptr || block_result(block, source) != nullptr || kept(source) != nullptr) {
      continue;
    }
    const size_t row = ggml_row_size(source->type, source->ne[0]);
    std::byte* data = take_rows(row * static_cast<size_t>(source->ne[1] * source->ne[2]));
    if (data == nullptr) {
      return too_many_rows(block);
    }
    for (int64_t token = 0; token < source->ne[2]; ++token) {
      for (int64_t k = 0; k < source->ne[1]; ++k) {
        std::memcpy(data + static_cast<size_t>(token * source->ne[1] + k) * row,
                    static_cast<std::byte*>(source->data) + token * source->nb[2] + k * source->nb[1], row);
      }
    }
    kept_.push_back({source, data});
  }
  kept_end_ = rows_used_;
  return {};
}

std::byte* ExpertExecutor::kept(const ggml_tensor* source) const {
  for (const auto& [tensor, data] : kept_) {
    if (tensor == source) {
      return data;
    }
  }
  return nullptr;
}

tl::unexpected<Error> ExpertExecutor::too_many_rows(const ExpertBlock& block) const {
  return fail(ErrorCode::kInternal, "layer {}: the expert row buffers are too small for {} tokens",
              layout_.expert_layers[block.layer].layer, block.tokens());
}

// The matrix of `weight` as a tensor over the slots first..last.
ggml_tensor* ExpertExecutor::weight_twin(const ExpertBlock& block, const StreamedTensor& weight, uint32_t first,
                                         uint32_t last) {
  const ExpertPart& part = layout_.expert_layers[block.layer].parts[weight.part];
  ggml_tensor* twin = nullptr;
  for (const BlockNode& it : block.nodes) {
    if (it.weight == &weight) {
      twin = inner_.twin(*it.node->src[0]);
    }
  }
  twin->buffer = nullptr;
  twin->data = slot_data(first) + part.place + part.shift;
  twin->ne[2] = last - first + 1;
  twin->nb[2] = layout_.slot_stride;
  twin->nb[3] = twin->nb[2] * static_cast<size_t>(twin->ne[2]);
  return twin;
}

// The rows of the batch's pairs of a kept input.
ggml_tensor* ExpertExecutor::gather(const ExpertBlock& block, const ggml_tensor* source) {
  const auto count = static_cast<int64_t>(batch_pairs_.size());
  std::byte* data = kept(source);
  if (block.tokens() == 1 && source->ne[1] == 1) {  // every pair has the same row
    ggml_tensor* row = inner_.rows(source->type, source->ne[0], count, data);
    row->nb[2] = 0;
    return row;
  }
  const size_t bytes = ggml_row_size(source->type, source->ne[0]);
  std::byte* rows = take_rows(bytes * static_cast<size_t>(count));
  if (rows == nullptr) {
    return nullptr;
  }
  for (size_t i = 0; i < batch_pairs_.size(); ++i) {
    const int64_t token = batch_pairs_[i] / block.used();
    const int64_t k = batch_pairs_[i] % block.used() % source->ne[1];
    std::memcpy(rows + i * bytes, data + static_cast<size_t>(token * source->ne[1] + k) * bytes, bytes);
  }
  return inner_.rows(source->type, source->ne[0], count, rows);
}

// What a twin has for `source`: the twin of the block's own result, a view of it, the batch's expert ids, or itself.
ggml_tensor* ExpertExecutor::compact_source(const ExpertBlock& block, const std::vector<ggml_tensor*>& twins,
                                            ggml_tensor* source) {
  if (source == block.ids) {
    return inner_.ids(1, static_cast<int64_t>(expert_ids_.size()), expert_ids_.data());
  }
  const ggml_tensor* base = block_result(block, source);
  if (base == nullptr) {
    return source;
  }
  for (size_t i = 0; i < twins.size(); ++i) {
    if (block.nodes[i].node == base) {
      if (source == base) {
        return twins[i];
      }
      ggml_tensor* view = inner_.twin(*twins[i]);
      view->data = static_cast<std::byte*>(twins[i]->data) + source->view_offs;
      view->ne[0] = source->ne[0];
      return view;
    }
  }
  return nullptr;
}

// Computes the block for the pairs of `batch`, in memory of our own, and scatters what is used outside.
Status ExpertExecutor::compute(const ExpertBlock& block, std::span<Demand* const> batch) {
  rows_used_ = kept_end_;
  batch_pairs_.clear();
  slot_ids_.clear();
  expert_ids_.clear();
  uint32_t first = UINT32_MAX;
  uint32_t last = 0;
  for (const Demand* demand : batch) {
    first = std::min(first, demand->slot);
    last = std::max(last, demand->slot);
  }
  for (const Demand* demand : batch) {
    batch_pairs_.insert(batch_pairs_.end(), demand->pairs.begin(), demand->pairs.end());
    slot_ids_.insert(slot_ids_.end(), demand->pairs.size(), static_cast<int32_t>(demand->slot - first));
    expert_ids_.insert(expert_ids_.end(), demand->pairs.size(), static_cast<int32_t>(demand->expert));
  }
  const auto count = static_cast<int64_t>(batch_pairs_.size());
  ggml_tensor* slots = inner_.ids(1, count, slot_ids_.data());
  const ggml_tensor* gathered_from = nullptr;
  ggml_tensor* gathered = nullptr;
  std::vector<ggml_tensor*> twins;
  for (const BlockNode& it : block.nodes) {
    ggml_tensor* twin = inner_.twin(*it.node);
    const size_t row = static_cast<size_t>(it.node->ne[0]) * sizeof(float);
    twin->view_src = nullptr;
    twin->view_offs = 0;
    twin->buffer = nullptr;
    twin->ne[1] = 1;
    twin->ne[2] = count;
    twin->nb[1] = twin->nb[2] = row;
    twin->nb[3] = row * static_cast<size_t>(count);
    twin->data = take_rows(twin->nb[3]);
    if (it.weight != nullptr) {
      twin->src[0] = weight_twin(block, *it.weight, first, last);
      if (block_result(block, it.node->src[1]) != nullptr) {
        twin->src[1] = compact_source(block, twins, it.node->src[1]);
      } else {
        if (it.node->src[1] != gathered_from) {  // gate and up share their input
          gathered_from = it.node->src[1];
          gathered = gather(block, gathered_from);
        }
        twin->src[1] = gathered;
      }
      twin->src[2] = slots;
    } else {
      for (ggml_tensor*& source : twin->src) {
        source = source == nullptr ? nullptr : compact_source(block, twins, source);
      }
    }
    if (twin->data == nullptr || twin->src[0] == nullptr || (it.weight != nullptr && twin->src[1] == nullptr)) {
      return too_many_rows(block);
    }
    inner_.add(twin);
    twins.push_back(twin);
  }
  if (inner_.run() != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute the experts of layer {}",
                layout_.expert_layers[block.layer].layer);
  }
  for (size_t n = 0; n < twins.size(); ++n) {
    if (!block.nodes[n].scatter) {
      continue;
    }
    const ggml_tensor* node = block.nodes[n].node;
    for (size_t i = 0; i < batch_pairs_.size(); ++i) {
      std::memcpy(static_cast<std::byte*>(node->data) + batch_pairs_[i] / block.used() * node->nb[2] +
                      batch_pairs_[i] % block.used() * node->nb[1],
                  static_cast<std::byte*>(twins[n]->data) + i * twins[n]->nb[2], twins[n]->nb[2]);
    }
  }
  return {};
}

// Everything is resident and the rows are few: the nodes as they stand, but for the weights and the slot numbers.
Status ExpertExecutor::compute_whole(const ExpertBlock& block) {
  slot_ids_.resize(static_cast<size_t>(block.used() * block.tokens()));
  uint32_t first = UINT32_MAX;
  uint32_t last = 0;
  for (const Demand* demand : hits_) {
    first = std::min(first, demand->slot);
    last = std::max(last, demand->slot);
  }
  for (const Demand* demand : hits_) {
    for (uint32_t pair : demand->pairs) {
      slot_ids_[pair] = static_cast<int32_t>(demand->slot - first);
    }
  }
  ggml_tensor* slots = inner_.ids(block.used(), block.tokens(), slot_ids_.data());
  for (const BlockNode& it : block.nodes) {
    if (it.weight == nullptr) {
      inner_.add(it.node);
      continue;
    }
    ggml_tensor* twin = inner_.twin(*it.node);
    twin->src[0] = weight_twin(block, *it.weight, first, last);
    twin->src[2] = slots;
    inner_.add(twin);
  }
  if (inner_.run() != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute the experts of layer {}",
                layout_.expert_layers[block.layer].layer);
  }
  return {};
}

}  // namespace hypura
