#include "backend/gpu/gpu_executor.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "backend/gpu/direct_reads.h"
#include "backend/gpu/expert_upload.h"
#include "backend/graph_uses.h"
#include "backend/stream_device.h"
#include "residency/borrowed_slots.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

// As those of the last layer in a pass that gives no logits.
bool is_passed_over(const ggml_tensor& node) {
  return node.op == GGML_OP_NONE || ggml_is_empty(&node) || (node.flags & GGML_TENSOR_FLAG_COMPUTE) == 0;
}

}  // namespace

GpuExecutor::GpuExecutor(const StreamedWeights& weights, GpuDevice& device, ExpertStore* below, Reader& reader)
    : weights_(weights), layers_(weights.layout().expert_layers), device_(device), below_(below) {
  if (below != nullptr) {
    source_ = std::make_unique<ExpertUpload>(layers_, *below, device_, stats_);
  } else {
    auto reads = std::make_unique<DirectReads>(layers_, reader, stats_);
    reads_ = reads.get();
    source_ = std::move(reads);
  }
}

GpuExecutor::~GpuExecutor() {
  try {
    source_->settle();
    if (prefetch_ != nullptr) {
      prefetch_->settle();
    }
    ggml_backend_synchronize(device_.stream());
  } catch (const std::exception& error) {
    logger().warn("{}: {}", ggml_backend_dev_name(device_.inner()), error.what());
  }
}

Result<std::unique_ptr<GpuExecutor>> GpuExecutor::create(const StreamedWeights& weights, GpuDevice& device,
                                                         ExpertStore* below, Reader& reader, const GpuUse& use,
                                                         const Most& most, InnerGraph* processors) {
  std::unique_ptr<GpuExecutor> executor(new GpuExecutor(weights, device, below, reader));
  Status status;
  try {
    status = executor->allocate(use, most);
    if (status) {
      status = executor->allocate_ids(most);
    }
    if (status && use.mixed && below != nullptr) {
      status = executor->allocate_mixed(*processors);
    }
  } catch (const std::exception& error) {
    status = executor->note_lost(error);
  }
  if (!status) {
    return propagate(status.error());
  }
  return executor;
}

Status GpuExecutor::allocate(const GpuUse& use, const Most& most) {
  ExpertStore::Sizes sizes;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (use.layer_slots[i] == 0 && !use.stages && use.layers.has(static_cast<uint32_t>(i))) {
      return fail(ErrorCode::kInternal, "layer {} has no slots on the GPU, and is not to be staged", layers_[i].layer);
    }
    sizes.own_slots.push_back(std::min(use.layer_slots[i], layers_[i].experts));
    device_layers_.push_back({sizes.own_slots.back()});
  }
  if (Status status = allocate_pool(use, most.used); !status) {
    return status;
  }
  auto slots = DeviceSlots::create(layers_, sizes.own_slots, device_, *source_, pool_.get());
  if (!slots) {
    return propagate(slots.error());
  }
  slots_ = slots->get();
  store_ = ExpertStore::over(
      layers_, stats_, sizes, std::move(*slots), [] {}, below_);
  if (!use.stages) {
    waves_ = std::make_unique<ExpertWaves>(device_, *slots_, *store_);
    return {};
  }
  auto staging = LayerStaging::create(layers_, use.layers, *slots_, *store_, device_, *source_, pool_.get(),
                                      landing_places(weights_.layout().experts, most.used));
  if (!staging) {
    return propagate(staging.error());
  }
  staging_ = std::move(*staging);
  auto seeds = SlotSeeds::create({layers_, device_, *slots_, *store_, *staging_, stats_}, weights_.layout().experts);
  if (!seeds) {
    return propagate(seeds.error());
  }
  seeds_ = std::move(*seeds);
  return {};
}

// The choice is a view of a whole sort.
GpuExecutor::IdCounts GpuExecutor::id_counts(const StreamLayout& layout, uint32_t used, uint32_t tokens, bool stages) {
  const uint64_t each = std::max(1U, used);
  const uint64_t experts = layout.experts;
  const uint64_t most = stages ? static_cast<uint64_t>(kChoicesForAll) * experts / each + 1 : tokens;
  return {most * each, std::max<uint64_t>(most, tokens) * experts * sizeof(int32_t)};
}

Status GpuExecutor::allocate_ids(const Most& most) {
  const IdCounts counts = id_counts(weights_.layout(), most.used, most.tokens, staging_ != nullptr);
  most_ids_ = static_cast<int64_t>(counts.ids);
  fetched_bytes_ = counts.fetched_bytes;
  context_ = describe_tensors(layers_.size());
  std::vector<ggml_tensor*> tensors;
  for (DeviceLayer& layer : device_layers_) {
    layer.slot_ids = ggml_new_tensor_2d(context_.get(), GGML_TYPE_I32, most_ids_, 1);
    ggml_format_name(layer.slot_ids, "slots of the chosen %zu", tensors.size());
    tensors.push_back(layer.slot_ids);
  }
  ggml_backend_buffer_type_t type = ggml_backend_get_default_buffer_type(device_.stream());
  auto buffer = allocate_on(type, bytes_in(type, tensors), "the numbers of slots");
  if (!buffer) {
    return propagate(buffer.error());
  }
  ids_buffer_ = std::move(*buffer);
  const uint64_t own = static_cast<uint64_t>(most_ids_) * sizeof(int32_t);
  auto host = allocate_pinned(device_.inner(), fetched_bytes_ + own * layers_.size());
  if (!host) {
    return propagate(host.error());
  }
  host_buffer_ = std::move(*host);
  fetched_ = static_cast<int32_t*>(ggml_backend_buffer_get_base(host_buffer_.get()));
  int32_t* next = fetched_ + fetched_bytes_ / sizeof(int32_t);
  for (DeviceLayer& layer : device_layers_) {
    layer.host_ids = next;
    next += most_ids_;
  }
  return place_in(ids_buffer_.get(), tensors);
}

Status GpuExecutor::run(ggml_cgraph* graph, bool decode) {
  if (lost_) {
    return propagate(*lost_);
  }
  decode_ = decode;
  computed_ = 0;
  looked_at_.reset();
  warming_ = passed_ = false;
  Status status;
  try {
    status = run_blocks(graph);
  } catch (const std::exception& error) {
    status = note_lost(error);
  }
  restore();
  return status;
}

// What it holds is not known any more.
Status GpuExecutor::note_lost(const std::exception& error) {
  Status status = fail(ErrorCode::kInternal, "{} failed ({}): open the model again, or without it",
                       ggml_backend_dev_name(device_.inner()), error.what());
  lost_ = status.error();
  return status;
}

Status GpuExecutor::run_blocks(ggml_cgraph* graph) {
  Status status = find_blocks(graph);
  for (size_t i = 0; status && i < blocks_.size(); ++i) {
    status = run_block(graph, blocks_[i]);
  }
  if (status) {
    status = compute(graph, ggml_graph_n_nodes(graph));
  }
  if (status && looked_at_ && predictor_ != nullptr) {
    predictor_->predict(*looked_at_, routed_, predictions_);  // of the last layer: one that learns, learns
  }
  return status ? borrow() : status;
}

// llama.cpp computes most graphs again and again.
Status GpuExecutor::find_blocks(ggml_cgraph* graph) {
  const uint64_t number = graph_number(graph);
  if (number != 0 && number == found_in_) {
    return {};
  }
  found_in_ = 0;
  products_.clear();
  blocks_.clear();
  if (predictor_ != nullptr) {
    predictor_->look_at(graph);
  }
  for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
    ggml_tensor* node = ggml_graph_node(graph, i);
    if (node->src[0] == nullptr || stream_owner(node->src[0]) != &weights_ || is_passed_over(*node)) {
      continue;
    }
    const StreamedTensor* weight = weights_.find(node->src[0]);
    if (node->op != GGML_OP_MUL_MAT_ID || weight == nullptr) {
      return fail(ErrorCode::kInternal, "tensor '{}' is streamed but used by operation {}", node->src[0]->name,
                  ggml_op_name(node->op));
    }
    if (blocks_.empty() || blocks_.back().layer != weight->layer || blocks_.back().ids != node->src[2]) {
      blocks_.push_back({weight->layer, node->src[2], i, i, products_.size(), products_.size()});
    }
    products_.push_back({node, i, weight->part});
    blocks_.back().last = i;
    ++blocks_.back().end;
  }
  if (cpu_ != nullptr) {
    find_rows(graph);
  }
  found_in_ = number;
  return {};
}

Status GpuExecutor::run_block(ggml_cgraph* graph, const Block& block) {
  const bool whole = holds_all(block.layer);
  const bool staged = !whole && staging_ != nullptr && stages(block);
  if (looks_at_all_ || !(whole || staged)) {
    if (Status status = look_at_choice(graph, block); !status) {
      return status;
    }
  }
  if (whole) {
    return use_whole(block);
  }
  if (!staged && mixes(block)) {
    return use_mixed(graph, block);
  }
  if (staging_ != nullptr && block.ids->ne[1] > most_by_slots(layers_)) {
    return wanted_.size() <= device_layers_[block.layer].slots && !staged ? use_numbered(graph, block)
                                                                          : use_staged(graph, block);
  }
  if (!staged && wanted_.size() <= usable_slots(block.layer)) {
    return use_slots(block);
  }
  return staging_ != nullptr ? use_staged(graph, block) : use_waves(graph, block);
}

// While the device computes what leads to the choice, what it is predicted to be is brought closer.
Status GpuExecutor::look_at_choice(ggml_cgraph* graph, const Block& block) {
  Status status = compute(graph, block.first);
  if (status && seeds_ != nullptr) {
    status = seeds_->settle_all();
  }
  const bool predicts = predictor_ != nullptr && decode_ && block.ids->ne[1] <= BlockPredictor::kMostRows;
  if (status && predicts) {
    prefetch(block);
    status = predictor_->begin(choosing(block));
  }
  if (status && mixes(block)) {
    cpu_->fetch(*block.rows);
  }
  if (status) {
    status = fetch_ids(block);
  }
  if (status) {
    note_choice(block);
    if (predicts) {
      prefetch_->note_chosen(block.layer, wanted_);
    }
    looked_at_ = predicts ? std::optional(choosing(block)) : std::nullopt;
  }
  return status;
}

ChoosingBlock GpuExecutor::choosing(const Block& block) const {
  return {block.layer, block.ids, products_[block.begin].node->src[1]};
}

// By what the layer before it chose.
void GpuExecutor::prefetch(const Block& block) {
  if (!looked_at_ || looked_at_->layer + 1 != block.layer || holds_all(block.layer)) {
    return;
  }
  predictions_.resize(layers_[block.layer].experts);
  const size_t count = predictor_->predict(*looked_at_, routed_, predictions_);
  prefetch_->begin(block.layer, std::span(predictions_).first(count));
}

bool GpuExecutor::holds_all(uint32_t layer) const {
  return device_layers_[layer].slots == layers_[layer].experts;
}

// Whether the choice need not be looked at, or there is no place to look at it.
bool GpuExecutor::stages(const Block& block) const {
  const int64_t choices = block.ids->ne[0] * block.ids->ne[1];
  return choices >= kChoicesForAll * layers_[block.layer].experts || choices > most_ids_ ||
         ggml_nbytes(block.ids) > fetched_bytes_ || device_layers_[block.layer].slots < block.ids->ne[0];
}

// Every expert is in the slot of its own number, from the layer's first use on.
Status GpuExecutor::use_whole(const Block& block) {
  Status status = fill_whole(block.layer, std::numeric_limits<uint64_t>::max());
  if (status) {
    patch(block, slots_->matrices(block.layer), nullptr);
  }
  return status;
}

Status GpuExecutor::fill_whole(uint32_t layer, uint64_t most_bytes) {
  DeviceLayer& it = device_layers_[layer];
  if (it.filled == it.slots) {
    return {};
  }
  const uint64_t most = std::max<uint64_t>(1, most_bytes / layers_[layer].expert_bytes());
  std::vector<UploadItem> some(std::min<uint64_t>(it.slots - it.filled, most));
  for (uint32_t i = 0; i < some.size(); ++i) {
    some[i] = {it.filled + i, it.filled + i};
  }
  Status status = source_->run({device_.stream(), layer, slots_->matrices(layer), true}, some, false);
  it.filled += status ? static_cast<uint32_t>(some.size()) : 0;
  return status;
}

Status GpuExecutor::use_slots(const Block& block) {
  Status status = bring_chosen(block);
  if (status) {
    patch(block, slots_->matrices(block.layer), remapped(block));
    read_rest(block.layer);
  }
  store_->finish();  // what comes into these slots later comes behind this block in the stream
  return status;
}

// Of a prompt the last layer computes some rows, and asks for few experts. Where RAM has room for all it reads the
// others too, as it has read those of the layers that passed through: else decoding, and the next prompt, wait for
// them.
void GpuExecutor::read_rest(uint32_t layer) {
  if (decode_ || !passed_ || below_ == nullptr || !below_->holds_all()) {
    return;
  }
  rest_.resize(layers_[layer].experts);
  std::iota(rest_.begin(), rest_.end(), 0U);
  below_->prefetch_for_above(layer, rest_);
}

// Other nodes may stand between the products of a layer: then there are several runs of nodes that belong together.
Status GpuExecutor::use_waves(ggml_cgraph* graph, const Block& block) {
  for (size_t i = block.begin; i < block.end; ++i) {
    if (products_[i].index < computed_) {
      continue;
    }
    Status status = compute(graph, products_[i].index);
    const ExpertBlock rows = parse_expert_block(graph, products_[i].index, weights_);
    if (status) {
      status = waves_->run(rows, routed_, decode_);
    }
    if (!status) {
      return status;
    }
    computed_ = rows.end;
  }
  return {};
}

Status GpuExecutor::fetch_ids(const Block& block) {
  if (ggml_nbytes(block.ids) > fetched_bytes_) {
    return fail(ErrorCode::kInternal, "layer {}: {} tokens are more than a pass was to have",
                layers_[block.layer].layer, block.ids->ne[1]);
  }
  const bool in_ram = device_.computes_in_ram();
  if (!in_ram) {
    ggml_backend_tensor_get_async(device_.stream(), block.ids, fetched_, 0, ggml_nbytes(block.ids));
  }
  const auto start = std::chrono::steady_clock::now();
  ggml_backend_synchronize(device_.stream());
  add_seconds(stats_.choice_wait_seconds, start);
  source_->synchronized(device_.stream());
  if (in_ram) {
    ggml_backend_tensor_get(block.ids, fetched_, 0, ggml_nbytes(block.ids));
  }
  const uint32_t experts = layers_[block.layer].experts;
  routed_.clear();
  wanted_.clear();
  for (int64_t token = 0; token < block.ids->ne[1]; ++token) {
    for (int64_t k = 0; k < block.ids->ne[0]; ++k) {
      const size_t at = static_cast<size_t>(token) * block.ids->nb[1] + static_cast<size_t>(k) * block.ids->nb[0];
      const int32_t id = fetched_[at / sizeof(int32_t)];
      if (id < 0 || static_cast<uint32_t>(id) >= experts) {
        return fail(ErrorCode::kInternal, "layer {}: the router chose expert {} of {}", layers_[block.layer].layer, id,
                    experts);
      }
      routed_.push_back(static_cast<uint16_t>(id));
      wanted_.push_back(static_cast<uint32_t>(id));
    }
  }
  std::ranges::sort(wanted_);
  wanted_.erase(std::unique(wanted_.begin(), wanted_.end()), wanted_.end());
  return {};
}

void GpuExecutor::note_choice(const Block& block) {
  if (recorder_ == nullptr) {
    return;
  }
  const auto held = std::ranges::count_if(wanted_, [&](uint32_t expert) {
    return resident(block.layer, expert) || (below_ != nullptr && below_->resident(block.layer, expert));
  });
  recorder_->note(block.layer, static_cast<uint32_t>(block.ids->ne[0]), routed_, static_cast<uint32_t>(held));
}

Status GpuExecutor::bring_chosen(const Block& block) {
  slots_->set_decode(decode_);
  store_->acquire(block.layer, {routed_, static_cast<uint32_t>(block.ids->ne[0]), decode_}, wanted_);
  const size_t all = store_->leases().size();
  for (size_t lease = store_->hits(); lease < all; ++lease) {
    if (Status status = store_->wait(lease); !status) {
      return status;
    }
  }
  return {};
}

// One token's choice in slot numbers. An expert without a slot gets the number of one that the token did not choose:
// CUDA's kernel for several tokens writes where it should not when a token chooses an expert twice.
void GpuExecutor::number_slots(uint32_t layer, std::span<const uint16_t> chosen, std::span<int32_t> slots) const {
  constexpr int32_t kNone = -1;
  std::ranges::transform(chosen, slots.begin(), [&](uint16_t expert) {
    const auto slot = store_->slot_of(layer, expert);
    return slot ? static_cast<int32_t>(*slot) : kNone;
  });
  int32_t other = 0;
  for (int32_t& slot : slots) {
    for (; slot == kNone; ++other) {
      slot = std::ranges::find(slots, other) == slots.end() ? other : kNone;
    }
  }
}

// The choice in numbers of places, on its way to the device.
ggml_tensor* GpuExecutor::remapped(const Block& block) {
  DeviceLayer& layer = device_layers_[block.layer];
  const auto used = static_cast<size_t>(block.ids->ne[0]);
  for (size_t first = 0; first < routed_.size(); first += used) {
    const std::span<int32_t> its(layer.host_ids + first, used);
    number_slots(block.layer, std::span(routed_).subspan(first, used), its);
    std::ranges::transform(its, its.begin(), [&](int32_t slot) {
      return static_cast<int32_t>(slots_->place(block.layer, static_cast<uint32_t>(slot)));
    });
  }
  ggml_tensor* ids = layer.slot_ids;
  ids->ne[0] = block.ids->ne[0];
  ids->ne[1] = block.ids->ne[1];
  ids->nb[1] = static_cast<size_t>(ids->ne[0]) * sizeof(int32_t);
  ids->nb[2] = ids->nb[3] = ids->nb[1] * static_cast<size_t>(ids->ne[1]);
  if (device_.computes_in_ram()) {
    ggml_backend_tensor_set(ids, layer.host_ids, 0, ggml_nbytes(ids));
  } else {
    ggml_backend_tensor_set_async(device_.stream(), ids, layer.host_ids, 0, ggml_nbytes(ids));
  }
  return ids;
}

// `ids`: nullptr where the experts' own numbers are right.
void GpuExecutor::patch(const Block& block, std::span<ggml_tensor* const> matrices, ggml_tensor* ids) {
  for (size_t i = block.begin; i < block.end; ++i) {
    ggml_tensor* node = products_[i].node;
    patches_.push_back({node, node->src[0], node->src[2]});
    node->src[0] = matrices[products_[i].part];
    node->src[2] = ids != nullptr ? ids : node->src[2];
  }
}

// llama.cpp uses its graphs again.
void GpuExecutor::restore() {
  for (const Patch& patch : patches_) {
    patch.node->src[0] = patch.weight;
    patch.node->src[2] = patch.ids;
  }
  patches_.clear();
}

// Hands the nodes before `end` to the device that it has not got yet.
Status GpuExecutor::compute(ggml_cgraph* graph, int end) {
  if (end > computed_) {
    if (compute_part(device_.stream(), graph, computed_, end) != GGML_STATUS_SUCCESS) {
      return fail(ErrorCode::kInternal, "ggml could not compute with streamed weights on {}",
                  ggml_backend_dev_name(device_.inner()));
    }
    computed_ = end;
  }
  return {};
}

}  // namespace hypura
