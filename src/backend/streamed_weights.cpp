#include "backend/streamed_weights.h"

#include <algorithm>
#include <cstring>

#include "backend/block_predictor.h"
#include "backend/dense_executor.h"
#include "backend/expert_block.h"
#include "backend/expert_executor.h"
#include "backend/gpu/devices/gpu_list.h"
#include "backend/gpu/gpu_member.h"
#include "backend/gpu/prefetch/device_predictor.h"
#include "backend/remote_experts.h"
#include "backend/remote_ffn.h"
#include "backend/repack_buffer.h"
#include "backend/stream_device.h"
#include "backend/table_executor.h"
#include "residency/routing_recorder.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/memory/huge_pages.h"
#include "support/units.h"
#include "tiers/dense_store.h"
#include "tiers/direct_place.h"
#include "tiers/expert_store.h"
#include "tiers/ram_slots.h"
#include "tiers/table_rows.h"

namespace hypura {

Result<std::unique_ptr<StreamedWeights>> StreamedWeights::create(const Model& model, Reader& reader,
                                                                 StreamLayout layout, const std::string& gpu,
                                                                 bool beside) {
  if (!gpu.empty() && !beside) {
    return create_over(model, reader, std::move(layout), {{gpu}});
  }
  if (!gpu.empty() && layout.repacked) {
    return fail(ErrorCode::kInternal, "beside a GPU weights are read from the model's own files");
  }
  register_stream_device();
  auto inner = InnerGraph::create();
  if (!inner) {
    return propagate(inner.error());
  }
  std::unique_ptr<StreamedWeights> weights(new StreamedWeights(model, reader, std::move(layout)));
  weights->inner_ = std::move(*inner);
  if (!gpu.empty() && (weights->beside_ = gpu_by_name(gpu)) == nullptr) {
    return fail(ErrorCode::kUsage, "ggml has no device '{}' here", gpu);
  }
  return weights;
}

StreamedWeights::StreamedWeights(const Model& model, Reader& reader, StreamLayout layout)
    : model_(model),
      reader_(reader),
      layout_(std::move(layout)),
      stream_type_(make_stream_buffer_type(this)),
      resident_type_(make_resident_buffer_type(this)) {
  for (uint32_t i = 0; i < layout_.expert_layers.size(); ++i) {
    for (uint32_t part = 0; part < layout_.expert_layers[i].parts.size(); ++part) {
      by_name_[layout_.expert_layers[i].parts[part].tensor->name] = {true, i, part, 0, 0, -1};
    }
  }
  for (uint32_t item = 0; item < layout_.dense.size(); ++item) {
    const StreamedTensor first = {false, 0, 0, item, 0, -1};
    ++by_name_.try_emplace(layout_.dense[item].tensor->name, first).first->second.items;
  }
  for (size_t i = 0; i < layout_.tables.size(); ++i) {
    by_name_[layout_.tables[i].tensor->name].table = static_cast<int32_t>(i);
  }
}

StreamedWeights::~StreamedWeights() {
  closing_ = true;
  if (warm_thread_.joinable()) {
    warm_thread_.join();
  }
  for (ReadGroup group : loading_) {
    reader_.cancel(group);
  }
  for (ReadGroup group : loading_) {
    static_cast<void>(reader_.wait(group));  // the model is being closed
  }
}

bool StreamedWeights::offloads(const ggml_tensor* product) const {
  ggml_backend_dev_t gpu = gpus_.empty() ? beside_ : gpus_.front()->device->inner();
  return gpu != nullptr && product->op == GGML_OP_MUL_MAT && ggml_backend_dev_offload_op(gpu, product) &&
         ggml_backend_dev_supports_op(gpu, product);
}

void StreamedWeights::set_threadpool(ggml_threadpool* pool) {
  inner_->set_threadpool(pool);
  for (const auto& gpu : gpus_) {
    gpu->device->set_threadpool(pool);
  }
}

void StreamedWeights::note_placement_error(Error error) {
  if (!placement_failed_) {
    placement_error_ = std::move(error);
    placement_failed_ = true;
  }
}

void StreamedWeights::place_stream(ggml_tensor* tensor) {
  const auto it = by_name_.find(tensor->name);
  if (it == by_name_.end()) {
    note_placement_error({ErrorCode::kInternal, fmt::format("tensor '{}' was not meant to be streamed", tensor->name)});
    return;
  }
  by_tensor_[tensor] = it->second;
}

void StreamedWeights::place_resident(ggml_tensor* tensor) {
  if (tensor->view_src != nullptr) {
    return;  // its base has the bytes
  }
  const TensorInfo* info = model_.find(tensor->name);
  if (info == nullptr || info->extent.length != ggml_nbytes(tensor)) {
    note_placement_error(
        {ErrorCode::kBadModel, fmt::format("tensor '{}' is not in the file as llama.cpp expects it", tensor->name)});
    return;
  }
  const Extent extent = {file_as_is(*info), info->extent.offset, info->extent.length};
  const ReadRequest read = read_into(static_cast<std::byte*>(tensor->data), extent);
  tensor->data = read.destination;
  resident_by_name_[tensor->name] = tensor;
  loading_.push_back(reader_.submit({&read, 1}, Priority::kDemand));
  loading_bytes_.push_back(info->extent.length);
}

Status StreamedWeights::finish_loading(const std::function<void(double)>& progress) {
  Status result;
  uint64_t total = 0;
  for (uint64_t bytes : loading_bytes_) {
    total += bytes;
  }
  uint64_t done = 0;
  for (size_t i = 0; i < loading_.size(); ++i) {
    if (result && progress) {
      progress(static_cast<double>(done) / static_cast<double>(total));
    }
    Status status = reader_.wait(loading_[i]);
    if (!status && result) {
      result = std::move(status);
      for (size_t rest = i + 1; rest < loading_.size(); ++rest) {
        reader_.cancel(loading_[rest]);
      }
    }
    done += loading_bytes_[i];
  }
  loading_.clear();
  is_loading_ = false;
  if (placement_failed_) {
    return propagate(placement_error_);
  }
  return result;
}

uint64_t StreamedWeights::expert_buffer_bytes(const StreamLayout& layout, uint32_t max_rows) {
  if (layout.expert_layers.empty()) {
    return 0;
  }
  return max_rows * ExpertBatch::row_bytes(layout) + ExpertStore::bytes_for(layout.expert_layers) +
         layout.workers * RemoteExperts::bytes_for(layout);
}

IdBytes StreamedWeights::gpu_buffer_bytes(const StreamLayout& layout, const Model& model, uint32_t max_rows,
                                          uint32_t gpus, bool mixed) {
  if (layout.expert_layers.empty()) {
    return {};
  }
  const auto used = static_cast<uint32_t>(std::max<int64_t>(model.experts_used, 1));
  IdBytes bytes;
  for (const bool stages : {true, false}) {
    const IdBytes its = id_bytes(layout, used, max_rows, stages);
    bytes = {std::max(bytes.on_device, its.on_device), std::max(bytes.in_ram, its.in_ram)};
  }
  bytes.on_device *= gpus;
  bytes.in_ram += mixed ? CpuExperts::bytes_for(layout, model) : 0;
  bytes.in_ram = gpus * bytes.in_ram + (1 + gpus) * ExpertStore::bytes_for(layout.expert_layers);  // RAM's and theirs
  return bytes;
}

Status StreamedWeights::allocate_caches(const Placement& placement, ReadAhead read_ahead, bool repack, Budget& budget) {
  placed_ = placement.experts;
  placed_rows_ = placement.ubatch;
  last_slots_ = placed_.slots;
  if (placement.gpu) {
    gpu_use_ = {placement.gpu->layer_slots, placement.gpu->stages, {}, placement.gpu->borrows, placement.gpu->mixed};
  }
  read_ahead_ = read_ahead;
  const uint64_t repacked = repack ? RepackBuffer::bytes(layout_, placement.ubatch) : 0;
  if (Status status = reserve(placement, repacked, budget); !status) {
    return status;
  }
  if (repacked > 0 && (repack_buffer_ = RepackBuffer::create(layout_, repacked)) == nullptr) {
    return fail(ErrorCode::kBudget, "cannot allocate {} for the repack buffer", format_bytes(repacked));
  }
  if (!layout_.expert_layers.empty()) {
    if (Status status = allocate_experts(placement.ubatch); !status) {
      return status;
    }
    if (Status status = start_predicting(); !status) {
      return status;
    }
  }
  if (Status status = layout_.dense.empty() ? Status() : allocate_dense(placement.dense); !status) {
    return status;
  }
  return allocate_tables();
}

Status StreamedWeights::allocate_experts(uint32_t max_rows) {
  ExpertStore::Sizes sizes = {placed_.slots, placed_.spare_slots, placed_.layer_slots};
  const auto rest = [this] { inner_->rest(); };
  if (computes_in_ram()) {
    return allocate_gpus(max_rows);  // whose slots are RAM's
  }
  if (!gpus_.empty()) {
    sizes.quotas = quotas_of(placed_);
    auto slots = pinned_slots();
    if (!slots) {
      return propagate(slots.error());
    }
    expert_store_ = ExpertStore::over(layout_.expert_layers, stats_, sizes, std::move(*slots), rest);
    Status status = allocate_gpus(max_rows);
    return status && host_.end > 0 ? allocate_executor(max_rows) : status;
  }
  auto store = ExpertStore::create(layout_.expert_layers, reader_, stats_, sizes, rest);
  if (!store) {
    return propagate(store.error());
  }
  expert_store_ = std::move(*store);
  return allocate_executor(max_rows);
}

Status StreamedWeights::allocate_executor(uint32_t max_rows) {
  auto experts = ExpertExecutor::create(layout_, *expert_store_, *inner_, stats_, max_rows, repack_buffer_.get());
  if (!experts) {
    return propagate(experts.error());
  }
  experts_ = std::move(*experts);
  if (gpus_.empty()) {
    experts_->between_batches([this] { apply_resize(); });
  } else {
    experts_->compute_before(host_.end);
  }
  return {};
}

Status StreamedWeights::allocate_dense(const DensePlacement& placement) {
  auto store = DenseStore::create(layout_.dense, reader_, stats_, placement.pinned, placement.ring_bytes,
                                  [this] { inner_->rest(); });
  if (!store) {
    return propagate(store.error());
  }
  dense_store_ = std::move(*store);
  dense_ = std::make_unique<DenseExecutor>(layout_, *dense_store_, *inner_, repack_buffer_.get());
  return {};
}

// With mixed computing nothing is predicted: who computes an expert must not depend on when what was read ahead.
Status StreamedWeights::start_predicting() {
  if (gpu_use_.mixed) {
    return {};
  }
  if (read_ahead_ == ReadAhead::kCoactivation) {
    predictor_ = make_coactivation_predictor(layout_);
  } else if (read_ahead_ != ReadAhead::kNone && !gpus_.empty()) {
    if (Status status = predict_on_gpus(); !status) {
      return status;
    }
    ask_routers();
  } else if (read_ahead_ != ReadAhead::kNone) {
    ask_routers();
  }
  predict(true);
  if (experts_ != nullptr && read_ahead_ != ReadAhead::kNone) {
    experts_->stream_prompts(predictor_.get());
  }
  return {};
}

// Where the device does not copy while it computes, copies on a prediction could only cost.
void StreamedWeights::predict(bool on) {
  for (const auto& gpu : gpus_) {
    BlockPredictor* its = gpu->predictor != nullptr ? gpu->predictor.get() : predictor_.get();
    const bool copies = gpu->device->copy_stream() != gpu->device->stream();
    gpu->experts->predict_by(on ? its : nullptr, copies || read_ahead_ != ReadAhead::kAuto);
  }
  if (experts_ != nullptr) {
    experts_->predict_by(on ? predictor_.get() : nullptr);
  }
}

Status StreamedWeights::end_pass(size_t tokens, double seconds) {
  const std::lock_guard lock(mutex_);
  const bool decode = stats_.phase.load(std::memory_order_relaxed) == Phase::kDecode;
  const bool predicts = predictor_ != nullptr || !gpus_.empty();
  if (predicts && read_ahead_ == ReadAhead::kAuto && decode && tokens == 1) {
    prefetch_switch_.note(seconds);
    predict(prefetch_switch_.on());
  }
  return std::exchange(copy_failed_, false) ? fail(error_.code, "{}", error_.message) : Status();
}

void StreamedWeights::begin_pass(Phase phase, std::span<const int32_t> tokens, size_t outputs) {
  const std::lock_guard lock(mutex_);
  expect_rows(tokens);
  stats_.phase.store(phase, std::memory_order_relaxed);
  if (experts_ != nullptr) {
    const size_t used = phase == Phase::kPrefill ? static_cast<size_t>(model_.experts_used) : 0;
    // Beside GPUs their copies may still hold slots in RAM: nothing is read before the processors' turn.
    experts_->begin_pass(outputs, gpus_.empty() ? tokens.size() * used : 0);
  }
  if (recorder_ != nullptr) {
    recorder_->begin_pass(phase == Phase::kDecode);
  }
}

const StreamedTensor* StreamedWeights::find(const ggml_tensor* tensor) const {
  if (by_tensor_.empty()) {  // llama.cpp was given no memory: it only tells what it would take
    const auto named = by_name_.find(tensor->name);
    return named == by_name_.end() ? nullptr : &named->second;
  }
  const auto it = by_tensor_.find(tensor);
  return it == by_tensor_.end() ? nullptr : &it->second;
}

// The processors wait for the copies of the GPU whose turn it was.
ggml_status StreamedWeights::compute(ggml_cgraph* graph, std::optional<size_t> gpu) {
  std::unique_lock calls(gpu_calls_, std::defer_lock);
  if (!gpu && !gpus_.empty()) {
    calls.lock();
  }
  const std::lock_guard lock(mutex_);
  const auto start = std::chrono::steady_clock::now();
  const double waited = stats_.io_wait_seconds.load(std::memory_order_relaxed);
  const bool decode = stats_.phase.load(std::memory_order_relaxed) == Phase::kDecode;
  has_computed_ = true;
  apply_resize();
  Status status = gpu ? turn_to(*gpu).and_then([&](GpuExecutor* executor) { return executor->run(graph, decode); })
                      : run_on_processors(graph);
  const double wait = stats_.io_wait_seconds.load(std::memory_order_relaxed) - waited;
  stats_.compute_seconds.store(stats_.compute_seconds.load(std::memory_order_relaxed) + seconds_since(start) - wait,
                               std::memory_order_relaxed);
  if (!status) {
    error_ = status.error();
  }
  return status && !copy_failed_ ? GGML_STATUS_SUCCESS : GGML_STATUS_FAILED;
}

Status StreamedWeights::run_on_processors(ggml_cgraph* graph) {
  if (gpus_.empty()) {
    return run_nodes(graph);
  }
  if (Status status = turn_to_processors(); !status) {
    return status;
  }
  const uint64_t before = stats_.decode_lookups;
  Status status = run_nodes(graph);
  stats_.host_lookups += stats_.decode_lookups - before;
  return status;
}

Status StreamedWeights::run_nodes(ggml_cgraph* graph) {
  for (int i = 0; i < ggml_graph_n_nodes(graph);) {
    ggml_tensor* node = ggml_graph_node(graph, i);
    const bool ours = is_streamed_matmul(node) || is_streamed_lookup(node);
    const StreamedTensor* weight = ours ? find(node->src[0]) : nullptr;
    if ((node->flags & GGML_TENSOR_FLAG_COMPUTE) == 0 || ggml_is_empty(node)) {
      ++i;
    } else if (weight != nullptr && weight->expert && node->op == GGML_OP_MUL_MAT_ID) {
      const ExpertBlock block = parse_expert_block(graph, i, *this);
      Status status = run_gathered();
      if (status) {
        status = experts_->run(block);
      }
      if (!status) {
        return status;
      }
      i = block.end;
    } else if (weight != nullptr && node->op == GGML_OP_GET_ROWS) {
      Status status = dense_ == nullptr ? Status() : dense_->flush();
      if (status) {
        status = lookups_->run(*node, *tables_[static_cast<size_t>(weight->table)]);
      }
      if (!status) {
        return status;
      }
      ++i;
    } else if (weight != nullptr && !weight->expert && node->op == GGML_OP_MUL_MAT) {
      const Result<int> next = ask_for_ffn(graph, i);
      Status status = next ? Status() : propagate(next.error());
      if (status && *next == i) {
        status = dense_->add(node, *weight);
      }
      if (!status) {
        return status;
      }
      i = std::max(*next, i + 1);
    } else if (weight != nullptr) {
      return fail(ErrorCode::kInternal, "tensor '{}' is streamed but used by operation {}", node->src[0]->name,
                  ggml_op_name(node->op));
    } else {
      if (inner_->is_full()) {
        if (Status status = run_gathered(); !status) {
          return status;
        }
      }
      inner_->add(node);
      ++i;
    }
  }
  return run_gathered();
}

Status StreamedWeights::run_gathered() {
  if (dense_ != nullptr) {
    return dense_->flush();
  }
  if (inner_->run() != GGML_STATUS_SUCCESS) {
    return fail(ErrorCode::kInternal, "ggml could not compute with streamed weights");
  }
  return {};
}

Error StreamedWeights::take_error() {
  const std::lock_guard lock(mutex_);
  return std::exchange(error_, Error{ErrorCode::kInternal, "llama.cpp could not compute"});
}

// Behind the files of a repacked copy the reader has the model's own.
uint32_t StreamedWeights::file_as_is(const TensorInfo& tensor) const {
  const bool repacked = layout_.repacked && is_repacked(tensor);
  return tensor.extent.file + (repacked ? static_cast<uint32_t>(model_.files.size()) : 0);
}

Status StreamedWeights::read_from_disk(const TensorInfo& tensor, void* data, uint64_t offset, uint64_t size) {
  auto memory = MemoryRegion::allocate(size + 2 * kDirectAlignment);
  if (!memory) {
    return propagate(memory.error(), tensor.name);
  }
  const ReadRequest read = read_into(memory->data(), {file_as_is(tensor), tensor.extent.offset + offset, size});
  Status status = reader_.wait(reader_.submit({&read, 1}, Priority::kDemand));
  if (status) {
    std::memcpy(data, read.destination, size);
  }
  return status;
}

Status StreamedWeights::copy_tensor(const ggml_tensor* tensor, void* data, uint64_t offset, uint64_t size) {
  const StreamedTensor* streamed = find(tensor);
  if (dense_ != nullptr && streamed != nullptr && streamed->items > 0 && !layout_.dense[streamed->item].repacked) {
    return dense_->copy(*streamed, offset, {static_cast<std::byte*>(data), size});
  }
  const TensorInfo* info = model_.find(tensor->name);
  if (info == nullptr) {
    return fail(ErrorCode::kInternal, "tensor '{}' cannot be read back", tensor->name);
  }
  return read_from_disk(*info, data, offset, size);
}

void StreamedWeights::read_tensor(const ggml_tensor* tensor, void* data, uint64_t offset, uint64_t size) {
  const std::lock_guard lock(mutex_);
  advise_huge_pages(static_cast<std::byte*>(data), size);  // ggml's own memory, new for each copy
  if (Status status = copy_tensor(tensor, data, offset, size); !status) {
    copy_failed_ = true;
    error_ = status.error();
    logger().error("{}", error_.message);
    std::memset(data, 0, size);
  }
}

}  // namespace hypura
