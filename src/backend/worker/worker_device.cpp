#include "backend/worker/worker_device.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "backend/expert_batch.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kFloatsAligned = 16;  // every tensor begins at a multiple of 64 bytes

ggml_backend_reg worker_registry;

uint64_t floats_of(int64_t width, uint64_t rows) {
  return round_up(static_cast<uint64_t>(width) * rows, kFloatsAligned);
}

// Of an ask that is computed whole: its row, and all nodes'. Of a dense layer: all rows.
uint64_t most_floats(const std::vector<WorkerLayer>& layers, uint32_t most_pairs) {
  uint32_t widest = 0;
  for (const WorkerLayer& layer : layers) {
    widest = std::max(widest, layer.width);
  }
  const bool dense = !layers.empty() && layers.front().dense;
  const uint64_t nodes = floats_of(most_width(layers), dense ? most_pairs : ExpertBatch::kRowsTogether);
  return floats_of(widest, dense ? most_pairs : 1) + nodes + kMostNodes * kFloatsAligned;
}

}  // namespace

struct WorkerBackends {
  static WorkerDevice& owner(ggml_backend_dev_t device) { return *static_cast<WorkerDevice*>(device->context); }

  static const char* name(ggml_backend_dev_t /*device*/) { return "Hypura worker"; }
  static const char* description(ggml_backend_dev_t /*device*/) { return "layers of one model"; }
  static void memory(ggml_backend_dev_t device, size_t* free, size_t* total) {
    *free = *total = owner(device).facts_.budget;
  }
  static enum ggml_backend_dev_type type(ggml_backend_dev_t /*device*/) { return GGML_BACKEND_DEVICE_TYPE_ACCEL; }
  static void props(ggml_backend_dev_t device, ggml_backend_dev_props* props) {
    *props = {};
    props->name = name(device);
    props->description = description(device);
    props->type = type(device);
  }
  static ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t device) { return owner(device).memory_.type(); }
  static bool supports_op(ggml_backend_dev_t /*device*/, const ggml_tensor* /*op*/) { return false; }
  static bool supports_type(ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
    return type == buffer_type(device);
  }

  // The server asks for one each time that it starts, and frees none.
  static ggml_backend_t backend(ggml_backend_dev_t device, const char* /*params*/) {
    for (const auto& it : owner(device).backends_) {
      if (&it->device == device) {
        return &it->backend;
      }
    }
    return nullptr;
  }
  static const char* backend_name(ggml_backend_t /*backend*/) { return "Hypura worker"; }
  static void keep_backend(ggml_backend_t /*backend*/) {}
  static ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
    WorkerDevice& device = owner(backend->device);
    const auto it = std::ranges::find(device.backends_, backend, [](const auto& its) { return &its->backend; });
    device.compute(graph, **it);
    return GGML_STATUS_SUCCESS;
  }
  static ggml_guid_t guid() {
    static ggml_guid id = {0x68, 0x79, 0x70, 0x75, 0x72, 0x61, 0x2d, 0x77,
                           0x6f, 0x72, 0x6b, 0x65, 0x72, 0x2d, 0x30, 0x31};
    return &id;
  }

  static const char* registry_name(ggml_backend_reg_t /*registry*/) { return "Hypura worker"; }
  static size_t no_devices(ggml_backend_reg_t /*registry*/) { return 0; }
  static ggml_backend_dev_t no_device(ggml_backend_reg_t /*registry*/, size_t /*index*/) { return nullptr; }
  static void* no_function(ggml_backend_reg_t /*registry*/, const char* /*name*/) { return nullptr; }

  // It is asked for functions, and registered nowhere.
  static ggml_backend_reg_t registry() {
    worker_registry.api_version = GGML_BACKEND_API_VERSION;
    worker_registry.iface.get_name = registry_name;
    worker_registry.iface.get_device_count = no_devices;
    worker_registry.iface.get_device = no_device;
    worker_registry.iface.get_proc_address = no_function;
    return &worker_registry;
  }

  static void fill(ggml_backend_device& device, ggml_backend& backend, WorkerDevice* owner) {
    device.iface.get_name = name;
    device.iface.get_description = description;
    device.iface.get_memory = memory;
    device.iface.get_type = type;
    device.iface.get_props = props;
    device.iface.init_backend = WorkerBackends::backend;
    device.iface.get_buffer_type = buffer_type;
    device.iface.supports_op = supports_op;
    device.iface.supports_buft = supports_type;
    device.reg = registry();
    device.context = owner;
    backend.guid = guid();
    backend.iface.get_name = backend_name;
    backend.iface.free = keep_backend;
    backend.iface.graph_compute = compute;
    backend.device = &device;
  }
};

WorkerDevice::WorkerDevice(StreamedWeights& weights, const WorkerWeights& names, const Reader& reader,
                           const WorkerVerdict& facts, uint64_t room, ExpertPlacement slots)
    : weights_(weights),
      names_(names),
      reader_(reader),
      facts_(facts),
      memory_(*this, nullptr),
      most_room_(room),
      room_(room),
      most_slots_(std::move(slots)) {
  for (size_t i = 0; i < names.layers().size(); ++i) {
    auto& made = backends_.emplace_back(std::make_unique<Backend>());
    WorkerBackends::fill(made->device, made->backend, this);
    devices_.push_back(&made->device);
  }
  memory_.type()->device = devices_.front();
}

uint64_t WorkerDevice::bytes_for(const std::vector<WorkerLayer>& layers, uint32_t most_pairs) {
  return most_floats(layers, most_pairs) * sizeof(float);
}

Result<std::unique_ptr<WorkerDevice>> WorkerDevice::create(StreamedWeights& weights, const WorkerWeights& names,
                                                           const Reader& reader, const WorkerVerdict& facts,
                                                           uint64_t room, ExpertPlacement slots) {
  if (names.layers().empty()) {
    return fail(ErrorCode::kUsage, "the model has nothing that could be computed here");
  }
  std::unique_ptr<WorkerDevice> device(new WorkerDevice(weights, names, reader, facts, room, std::move(slots)));
  auto rows = MemoryRegion::allocate(bytes_for(names.layers(), facts.most_pairs));
  if (!rows) {
    return propagate(rows.error(), "the rows that are asked for");
  }
  device->rows_ = std::move(*rows);
  device->tensor_memory_.resize(ggml_tensor_overhead() * kMostTensors +
                                ggml_graph_overhead_custom(kMostTensors, false));
  return device;
}

void WorkerDevice::begin_connection() {
  accepted_ = false;
  sentence_ = "it said no hello";
  reason_.clear();
  refusals_ = 0;
  ahead_.clear();
  split_ = AskedSplit::kParts;
  layers_status_ = {};
  forget_plans();
}

void WorkerDevice::set(std::string_view name, std::span<std::byte> to, std::span<const std::byte> bytes) {
  const bool plain = !name.starts_with(kReservedNames);
  if (whole_layers() ? plain && bytes.size() <= kMostPieceBytes : name == kAskName) {
    std::ranges::copy(bytes, to.begin());
  } else if (name == kHelloName) {
    greet(bytes);
  } else if (name == kWarmName) {
    warm(bytes);
  } else if (name == kAheadName) {
    read_ahead(bytes);
  } else {
    refuse("a tensor was set that has none of the protocol's names, or too much of it");
  }
}

void WorkerDevice::get(std::string_view name, std::span<const std::byte> from, std::span<std::byte> bytes) {
  const bool plain = !name.starts_with(kReservedNames);
  if (whole_layers() ? plain && bytes.size() <= kMostPieceBytes : name == kReplyName) {
    std::ranges::copy(from, bytes.begin());
  } else if (name == kLayersStatusName && bytes.size() == sizeof(LayersStatus)) {
    std::memcpy(bytes.data(), &layers_status_, sizeof(layers_status_));
  } else if (name == kVerdictName && bytes.size() == sizeof(WorkerVerdict)) {
    WorkerVerdict verdict = facts_;
    verdict.accepted = accepted_ ? 1 : 0;
    const std::string sentence = accepted_ ? "" : sentence_;
    std::copy_n(sentence.begin(), std::min(sentence.size(), verdict.sentence.size() - 1), verdict.sentence.begin());
    std::memcpy(bytes.data(), &verdict, sizeof(verdict));
  } else if (name == kReasonName && bytes.size() == kReasonBytes) {
    std::memcpy(bytes.data(), reason_.data(), std::min<size_t>(reason_.size(), kReasonBytes - 1));
  } else {
    refuse("a tensor was read that has none of the protocol's names, or another length");
  }
}

// The exception goes through the server, which closes the connection on its way (rpc_server.h catches it).
void WorkerDevice::refuse(std::string what) {
  logger().warn("the client is refused: {}", what);
  reason_ = std::move(what);
  if (++refusals_ >= kMostRefusals) {
    throw std::runtime_error("it was refused too often");
  }
}

void WorkerDevice::fail_with(const Error& error) {
  logger().error("{}", error.message);
  reason_ = error.message;
}

void WorkerDevice::greet(std::span<const std::byte> bytes) {
  WorkerHello hello;
  if (bytes.size() == sizeof(hello)) {
    std::memcpy(&hello, bytes.data(), sizeof(hello));
    sentence_ = hello_refusal(facts_.identity, hello);
    if (sentence_.empty() && hello.split != AskedSplit::kParts) {
      sentence_ = layers_refusal(hello);
    }
  } else {
    sentence_ = "it says a hello of another version: install the same Hypura on both machines";
  }
  accepted_ = sentence_.empty();
  if (!accepted_) {
    refuse(sentence_);
    return;
  }
  const bool parts = hello.split == AskedSplit::kParts;
  split_ = hello.split;
  if (parts && has_experts() && divided_) {
    divided_ = !take_slots(most_slots_, most_room_);
  } else if (parts && !has_experts() && room_ < most_room_) {
    take_room(most_room_);
  }
  if (!parts) {
    kept_layers_.assign(static_cast<size_t>(weights_.model().layers), false);
    kept_.clear();
  }
  weights_.follow_repacking(parts && !has_experts() ? 0 : hello.repacks);
}

// Fails with kUsage where there are no such experts.
Result<std::vector<LayerExpert>> WorkerDevice::read_experts(std::span<const std::byte> bytes) {
  if (!accepted_) {
    return fail(ErrorCode::kUsage, "experts were wanted before a hello was accepted");
  }
  const std::vector<WorkerLayer>& layers = names_.layers();
  std::vector<LayerExpert> wanted;
  for (size_t at = 0; at + sizeof(WarmExpert) <= bytes.size(); at += sizeof(WarmExpert)) {
    WarmExpert it;
    std::memcpy(&it, bytes.data() + at, sizeof(it));
    const auto layer = std::ranges::find(layers, int{it.layer}, &WorkerLayer::layer);
    if (layer == layers.end() || it.expert >= layer->experts) {
      return fail(ErrorCode::kUsage, "expert {} of layer {} is wanted, which there is not", it.expert, it.layer);
    }
    wanted.push_back({static_cast<uint32_t>(layer - layers.begin()), it.expert});
  }
  return wanted;
}

void WorkerDevice::warm(std::span<const std::byte> bytes) {
  if (whole_layers()) {
    keep_layers(bytes);
    return;
  }
  const auto wanted = read_experts(bytes);
  if (!wanted) {
    refuse(wanted.error().message);
  } else if (names_.layers().front().dense) {
    keep(*wanted);
  } else {
    weights_.warm(*wanted);
  }
}

void WorkerDevice::read_ahead(std::span<const std::byte> bytes) {
  ahead_.clear();
  auto wanted = read_experts(bytes);
  if (!wanted) {
    refuse(wanted.error().message);
    return;
  }
  std::vector<bool> seen(facts_.experts);
  for (const LayerExpert& it : *wanted) {
    if (it.layer != wanted->front().layer || seen[it.expert]) {
      refuse("experts are wanted ahead of more than one layer, or one of them twice");
      return;
    }
    seen[it.expert] = true;
  }
  ahead_ = std::move(*wanted);
}

// Whatever comes, the server is told that all is well: it would end the process otherwise.
void WorkerDevice::compute(ggml_cgraph* graph, Backend& backend) {
  if (!accepted_) {
    refuse("something was to be computed before a hello was accepted");
    return;
  }
  if (!may_compute_) {
    refuse("there is no memory for experts");
    return;
  }
  if (whole_layers()) {
    compute_layers(graph, backend);
    return;
  }
  const auto plan = plan_block(graph, names_, memory_, facts_.most_pairs);
  if (!plan) {
    refuse(plan.error().message);
    return;
  }
  Ask ask;
  std::memcpy(&ask, plan->ask.data(), sizeof(ask));
  Reply reply;
  if (const auto answered = answer(*plan, ask)) {
    reply = *answered;
  } else {
    reply.status = answered.error().code == ErrorCode::kUsage ? ReplyStatus::kRefused : ReplyStatus::kFailed;
    std::ranges::fill(plan->reply, std::byte{0});
    if (reply.status == ReplyStatus::kRefused) {
      refuse(answered.error().message);
    } else {
      fail_with(answered.error());
    }
  }
  reply.number = ask.number;
  reply.pairs = ask.pairs;
  std::memcpy(plan->reply.data(), &reply, sizeof(reply));
}

// Writes map and rows; gives what stands before them.
Result<Reply> WorkerDevice::answer(const BlockPlan& plan, const Ask& ask) {
  const auto start = std::chrono::steady_clock::now();
  const StreamStats& stats = weights_.stats();
  const uint64_t lookups = stats.decode_lookups + stats.prefill_lookups;
  const uint64_t hits = stats.decode_hits + stats.prefill_hits;
  const bool dense = names_.layers()[plan.layer].dense;
  const bool was_here = dense && is_here(plan.layer);
  const double waited = stats.io_wait_seconds;
  const ReaderStats read = reader_.stats();
  if (Status status = read_choices(plan, ask); !status) {
    return propagate(status.error());
  }
  if (ask.pairs > 0) {
    if (Status status = dense ? compute_dense(plan, ask) : compute_block(plan, ask); !status) {
      return propagate(status.error());
    }
  }
  const uint32_t experts = names_.layers()[plan.layer].experts;
  const std::span<std::byte> map = plan.reply.subspan(sizeof(Reply), map_bytes(experts));
  Reply reply;
  reply.status = ReplyStatus::kDone;
  if (dense) {
    std::ranges::fill(map, std::byte{0});
    map[0] = std::byte{is_here(plan.layer)};
    reply.experts = ask.pairs > 0 ? 1 : 0;
    reply.hits = was_here ? reply.experts : 0;
  } else {
    weights_.resident_map(plan.layer, map);
    reply.experts = static_cast<uint32_t>(stats.decode_lookups + stats.prefill_lookups - lookups);
    reply.hits = static_cast<uint32_t>(stats.decode_hits + stats.prefill_hits - hits);
  }
  for (const std::byte byte : map) {
    reply.cached += static_cast<uint32_t>(std::popcount(std::to_integer<uint8_t>(byte)));
  }
  const ReaderStats now = reader_.stats();
  reply.read_bytes = now.demand_bytes + now.prefetch_bytes - read.demand_bytes - read.prefetch_bytes;
  reply.nanoseconds = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
  reply.wait_nanoseconds = static_cast<uint64_t>((stats.io_wait_seconds - waited) * 1e9);
  return reply;
}

// Copied first: what is checked is then what is used.
Status WorkerDevice::read_choices(const BlockPlan& plan, const Ask& ask) {
  const bool none = ask.pairs == 0;
  if (ask.pairs > plan.most_pairs || ask.tokens > plan.most_pairs || none != (ask.tokens == 0)) {
    return fail(ErrorCode::kUsage, "an ask has {} pairs of {} rows, where {} are the most", ask.pairs, ask.tokens,
                plan.most_pairs);
  }
  pairs_.resize(ask.pairs);
  ids_.clear();
  input_rows_.clear();
  if (!none) {
    std::memcpy(pairs_.data(), plan.ask.data() + sizeof(Ask), ask.pairs * sizeof(AskedPair));
  }
  const WorkerLayer& layer = names_.layers()[plan.layer];
  for (const AskedPair& pair : pairs_) {
    if (pair.expert < 0 || static_cast<uint32_t>(pair.expert) >= layer.experts || pair.token >= ask.tokens) {
      return fail(ErrorCode::kUsage, "an ask is for expert {} of {} and row {} of {}", pair.expert, layer.experts,
                  pair.token, ask.tokens);
    }
    if (layer.dense && pair.token != ids_.size()) {
      return fail(ErrorCode::kUsage, "an ask of a dense layer is not for its rows in their order");
    }
    ids_.push_back(pair.expert);
    input_rows_.push_back(pair.token);
  }
  return {};
}

float* WorkerDevice::take_floats(int64_t count) {
  auto* floats = reinterpret_cast<float*>(rows_.data()) + floats_used_;
  floats_used_ += round_up(static_cast<uint64_t>(count), kFloatsAligned);
  return floats;
}

// As llama.cpp would have it for one token, if it is computed `whole`, in memory of our own; else each pair is a token
// of its own that has its row among those of the ask, and what is between has no memory.
ExpertBlock WorkerDevice::make_block(const BlockPlan& plan, const Ask& ask, bool whole) {
  ggml_context* ctx = context_.get();
  const int64_t pairs = ask.pairs;
  const int64_t used = whole ? pairs : 1;
  const int64_t tokens = pairs / used;
  ggml_tensor* ids = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, used, tokens);
  ids->data = ids_.data();
  ggml_tensor* rows = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, plan.ask_width, 1, ask.tokens);
  rows->data = plan.ask.data() + ask_rows_offset(plan.most_pairs);
  floats_used_ = 0;
  if (whole) {  // kernels read it where it lies: a peer's address may be any
    rows->data = std::memcpy(take_floats(plan.ask_width), rows->data, ggml_nbytes(rows));
  }
  ExpertBlock block;
  block.layer = plan.layer;
  block.ids = ids;
  block.input_rows = whole ? nullptr : input_rows_.data();
  const auto source = [&](const PlannedSource& it) {
    if (it.node == PlannedSource::kAsk) {
      return rows;
    }
    ggml_tensor* base = block.nodes[it.node].node;
    return it.width == base->ne[0]
               ? base
               : ggml_view_3d(ctx, base, it.width, used, tokens, base->nb[1], base->nb[2], it.offset);
  };
  for (const PlannedNode& it : plan.nodes) {
    ggml_tensor* node = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, it.width, used, tokens);
    const bool product = it.op == GGML_OP_MUL_MAT_ID;
    node->op = it.op;
    node->flags = GGML_TENSOR_FLAG_COMPUTE;
    std::memcpy(node->op_params, it.params.data(), sizeof(node->op_params));
    node->data = whole ? take_floats(it.width * pairs) : nullptr;
    for (uint32_t i = 0; i < it.source_count; ++i) {
      node->src[product ? 1 : i] = source(it.sources[i]);
    }
    if (it.weight != nullptr) {
      node->src[product ? 0 : 1] = it.weight;
      node->src[2] = ids;
    }
    block.nodes.push_back({node, product ? weights_.find(it.weight) : nullptr, false});
  }
  block.nodes.back().scatter = true;
  return block;
}

Status WorkerDevice::compute_block(const BlockPlan& plan, const Ask& ask) {
  context_.reset(ggml_init({tensor_memory_.size(), tensor_memory_.data(), true}));
  const bool whole = ask.tokens == 1 && ask.pairs <= ExpertBatch::kRowsTogether;
  const ExpertBlock block = make_block(plan, ask, whole);
  ggml_tensor* result = block.nodes.back().node;
  std::byte* reply = plan.reply.data() + reply_rows_offset(names_.layers()[plan.layer].experts);
  if (!whole) {
    result->data = reply;
  }
  const Phase phase = ask.prompt != 0 ? Phase::kPrefill : Phase::kDecode;
  Status status = weights_.compute_block(block, phase, std::exchange(ahead_, {}));
  if (!status) {
    Error error = status.error();
    error.code = error.code == ErrorCode::kUsage ? ErrorCode::kInternal : error.code;
    return propagate(std::move(error));
  }
  if (whole) {
    std::memcpy(reply, result->data, static_cast<size_t>(result->ne[0] * ask.pairs) * sizeof(float));
  }
  return {};
}

}  // namespace hypura
