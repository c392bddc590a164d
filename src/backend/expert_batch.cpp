#include "backend/expert_batch.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "backend/repacked_layout.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kRowAlignment = 64;

uint64_t f32_row(int64_t elements) {
  return round_up(static_cast<uint64_t>(elements) * sizeof(float), kRowAlignment);
}

// As ExpertBatch::own_call_rows(), of a layer with one matrix.
uint32_t own_call_rows_of(const StreamLayout& layout, const ExpertPart& part, bool repacks) {
  constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();
  const TensorInfo& tensor = *part.tensor;
  const bool switches = std::string_view(ggml_type_name(static_cast<ggml_type>(tensor.type))).starts_with("iq");
  if (part.repacked || switches) {
    return ExpertBatch::kOwnCallRows;
  }
  const int64_t least =
      repacks ? RepackBuffer::least_rows(layout, tensor.type, tensor.shape[0], tensor.shape[1]) : int64_t{kNever};
  return static_cast<uint32_t>(std::min<int64_t>(least, kNever));
}

}  // namespace

ExpertBatch::ExpertBatch(const StreamLayout& layout, const ExpertStore& store, InnerGraph& inner, RepackBuffer* repack)
    : layout_(layout), store_(store), inner_(inner), repack_(repack) {
  follow_layout();
}

void ExpertBatch::follow_layout() {
  own_call_rows_.clear();
  for (const ExpertLayer& layer : layout_.expert_layers) {
    uint32_t& rows = own_call_rows_.emplace_back(std::numeric_limits<uint32_t>::max());
    for (const ExpertPart& part : layer.parts) {
      rows = std::min(rows, own_call_rows_of(layout_, part, repack_ != nullptr));
    }
  }
}

Result<std::unique_ptr<ExpertBatch>> ExpertBatch::create(const StreamLayout& layout, const ExpertStore& store,
                                                         InnerGraph& inner, uint32_t max_rows, RepackBuffer* repack) {
  auto rows = MemoryRegion::allocate(max_rows * row_bytes(layout));
  if (!rows) {
    return propagate(rows.error(), "the expert row buffers");
  }
  std::unique_ptr<ExpertBatch> batch(new ExpertBatch(layout, store, inner, repack));
  batch->rows_ = std::move(*rows);
  return batch;
}

uint64_t ExpertBatch::row_bytes(const StreamLayout& layout) {
  uint64_t most = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    uint64_t bytes = 0;
    for (const ExpertPart& part : layer.parts) {
      // Input as kept and as gathered, product, and up to two row operations on it (bias, activation).
      bytes += 2 * f32_row(part.tensor->shape[0]) + 3 * f32_row(part.tensor->shape[1]);
    }
    most = std::max(most, bytes);
  }
  return most;
}

Status ExpertBatch::keep_inputs(const ExpertBlock& block) {
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
    kept_.emplace_back(source, data);
  }
  kept_end_ = rows_used_;
  return {};
}

Status ExpertBatch::compute(const ExpertBlock& block, std::span<const ChosenExpert> chosen) {
  rows_used_ = kept_end_;
  gathered_ = {};
  find_slot_range(chosen);
  take_pairs(chosen);
  ggml_tensor* slot_ids = inner_.ids(1, static_cast<int64_t>(pairs_.size()), slot_ids_.data());
  Views views;
  for (const BlockNode& it : block.nodes) {
    views.push_back(row_view(block, it, views, slot_ids));
    if (views.back() == nullptr) {
      inner_.discard();
      return too_many_rows(block);
    }
    add(block, it, views.back(), chosen.size() == 1);
  }
  if (Status status = run(block); !status) {
    return status;
  }
  for (size_t i = 0; i < views.size(); ++i) {
    if (block.nodes[i].scatter) {
      scatter(block, block.nodes[i].node, views[i]);
    }
  }
  return {};
}

// The nodes as they stand, but for the weights and the slot numbers.
Status ExpertBatch::compute_whole(const ExpertBlock& block, std::span<const ChosenExpert> chosen) {
  find_slot_range(chosen);
  slot_ids_.resize(static_cast<size_t>(block.used() * block.tokens()));
  for (const ChosenExpert& it : chosen) {
    for (uint32_t pair : it.pairs) {
      slot_ids_[pair] = static_cast<int32_t>(it.slot - first_slot_);
    }
  }
  ggml_tensor* slot_ids = inner_.ids(block.used(), block.tokens(), slot_ids_.data());
  for (const BlockNode& it : block.nodes) {
    ggml_tensor* node = it.node;
    if (it.weight != nullptr) {
      node = inner_.view(*it.node);
      node->src[0] = weight_view(block, it);
      node->src[2] = slot_ids;
    }
    inner_.add(node);
  }
  return run(block);
}

void ExpertBatch::find_slot_range(std::span<const ChosenExpert> chosen) {
  const auto [first, last] = std::minmax_element(
      chosen.begin(), chosen.end(), [](const ChosenExpert& a, const ChosenExpert& b) { return a.slot < b.slot; });
  first_slot_ = first->slot;
  last_slot_ = last->slot;
}

void ExpertBatch::take_pairs(std::span<const ChosenExpert> chosen) {
  pairs_.clear();
  slot_ids_.clear();
  expert_ids_.clear();
  for (const ChosenExpert& it : chosen) {
    pairs_.insert(pairs_.end(), it.pairs.begin(), it.pairs.end());
    slot_ids_.insert(slot_ids_.end(), it.pairs.size(), static_cast<int32_t>(it.slot - first_slot_));
    expert_ids_.insert(expert_ids_.end(), it.pairs.size(), static_cast<int32_t>(it.expert));
  }
}

// The node with one row for each pair of the batch; nullptr when the buffers are too small.
ggml_tensor* ExpertBatch::row_view(const ExpertBlock& block, const BlockNode& it, const Views& views,
                                   ggml_tensor* slot_ids) {
  const auto count = static_cast<int64_t>(pairs_.size());
  ggml_tensor* view = inner_.view(*it.node);
  view->view_src = nullptr;
  view->view_offs = 0;
  view->buffer = nullptr;
  view->ne[1] = 1;
  view->ne[2] = count;
  view->nb[1] = view->nb[2] = static_cast<size_t>(it.node->ne[0]) * sizeof(float);
  view->nb[3] = view->nb[2] * static_cast<size_t>(count);
  view->data = take_rows(view->nb[3]);
  if (it.weight == nullptr) {
    for (ggml_tensor*& source : view->src) {
      source = source == nullptr ? nullptr : compact(block, views, source);
    }
  } else {
    const bool own = block_result(block, it.node->src[1]) != nullptr;
    view->src[0] = weight_view(block, it);
    view->src[1] = own ? compact(block, views, it.node->src[1]) : gather(block, it.node->src[1]);
    view->src[2] = slot_ids;
  }
  const bool complete = view->data != nullptr && (it.weight == nullptr || view->src[1] != nullptr);
  return complete ? view : nullptr;
}

// Adds a view to what is computed. The product with an expert that is `alone` in the batch is one with a single matrix,
// for which ggml has faster kernels: where it was read repacked, or is repacked because that pays. Only with so many
// rows that the expert is always alone, whatever is cached: the last bits may be others.
void ExpertBatch::add(const ExpertBlock& block, const BlockNode& it, ggml_tensor* view, bool alone) {
  const int64_t rows = view->ne[2];
  if (it.weight == nullptr || !alone || rows < own_call_rows(block.layer) || view->src[1]->type != GGML_TYPE_F32 ||
      !ggml_is_contiguous(view->src[1])) {
    inner_.add(view);
    return;
  }
  const bool repacked = layout_.expert_layers[block.layer].parts[it.weight->part].repacked;
  if (!repacked && (repack_ == nullptr || !repack_->pays(*view->src[0], rows))) {
    inner_.add(view);
    return;
  }
  ggml_tensor* input = inner_.matrix(view->src[1]->ne[0], rows, view->src[1]->data);
  ggml_tensor* product = inner_.matrix(view->ne[0], rows, view->data);
  if (repacked) {
    inner_.multiply(view->src[0], input, product);
  } else {
    repack_->multiply(inner_, *view->src[0], input, product);
  }
}

// The matrix of a product as a tensor over the batch's slots.
ggml_tensor* ExpertBatch::weight_view(const ExpertBlock& block, const BlockNode& it) {
  const MatrixView slots = store_.view(block.layer, it.weight->part);
  ggml_tensor* view = inner_.view(*it.node->src[0]);
  view->buffer = nullptr;
  view->data = slots.at(first_slot_);
  view->ne[2] = last_slot_ - first_slot_ + 1;
  view->nb[2] = slots.stride;
  view->nb[3] = view->nb[2] * static_cast<size_t>(view->ne[2]);
  if (layout_.expert_layers[block.layer].parts[it.weight->part].repacked) {
    use_repacked_kernels(*view);
  }
  return view;
}

// What a view has for `source`: the view of the block's own result, a view of it, the batch's expert ids, or itself.
ggml_tensor* ExpertBatch::compact(const ExpertBlock& block, const Views& views, ggml_tensor* source) {
  if (source == block.ids) {
    return inner_.ids(1, static_cast<int64_t>(expert_ids_.size()), expert_ids_.data());
  }
  const ggml_tensor* base = block_result(block, source);
  if (base == nullptr) {
    return source;
  }
  size_t i = 0;
  while (block.nodes[i].node != base) {
    ++i;
  }
  if (source == base) {
    return views[i];
  }
  ggml_tensor* part = inner_.view(*views[i]);
  part->data = static_cast<std::byte*>(views[i]->data) + source->view_offs;
  part->ne[0] = source->ne[0];
  return part;
}

// The rows of the batch's pairs of a kept input; nullptr when the buffers are too small.
ggml_tensor* ExpertBatch::gather(const ExpertBlock& block, const ggml_tensor* source) {
  if (gathered_.first == source) {
    return gathered_.second;
  }
  const auto count = static_cast<int64_t>(pairs_.size());
  const size_t bytes = ggml_row_size(source->type, source->ne[0]);
  std::byte* data = kept(source);
  ggml_tensor* rows = inner_.rows(source->type, source->ne[0], count, data);
  if (source->ne[2] == 1 && source->ne[1] == 1) {
    rows->nb[2] = 0;  // every pair has the same row
  } else {
    auto* copies = take_rows(bytes * static_cast<size_t>(count));
    if (copies == nullptr) {
      return nullptr;
    }
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const auto of_token = static_cast<size_t>(pairs_[i] / block.used());
      const int64_t token = block.input_rows == nullptr ? static_cast<int64_t>(of_token) : block.input_rows[of_token];
      const int64_t k = pairs_[i] % block.used() % source->ne[1];
      std::memcpy(copies + i * bytes, data + static_cast<size_t>(token * source->ne[1] + k) * bytes, bytes);
    }
    rows->data = copies;
  }
  gathered_ = {source, rows};
  return rows;
}

void ExpertBatch::scatter(const ExpertBlock& block, const ggml_tensor* node, const ggml_tensor* view) const {
  for (size_t i = 0; i < pairs_.size(); ++i) {
    std::byte* row = static_cast<std::byte*>(node->data) + pairs_[i] / block.used() * node->nb[2] +
                     pairs_[i] % block.used() * node->nb[1];
    std::memcpy(row, static_cast<std::byte*>(view->data) + i * view->nb[2], view->nb[2]);
  }
}

std::byte* ExpertBatch::kept(const ggml_tensor* source) const {
  for (const auto& [tensor, data] : kept_) {
    if (tensor == source) {
      return data;
    }
  }
  return nullptr;
}

std::byte* ExpertBatch::take_rows(uint64_t bytes) {
  std::byte* memory = rows_.data() + rows_used_;
  rows_used_ += round_up(bytes, kRowAlignment);
  return rows_used_ <= rows_.size() ? memory : nullptr;
}

Status ExpertBatch::run(const ExpertBlock& block) {
  if (inner_.run() != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute the experts of layer {}",
                layout_.expert_layers[block.layer].layer);
  }
  return {};
}

tl::unexpected<Error> ExpertBatch::too_many_rows(const ExpertBlock& block) const {
  return fail(ErrorCode::kInternal, "layer {}: the expert row buffers are too small for {} tokens",
              layout_.expert_layers[block.layer].layer, block.tokens());
}

}  // namespace hypura
