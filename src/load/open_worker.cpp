#include "load/open_worker.h"

#include <algorithm>
#include <array>

#include "backend/cpu_kernels.h"
#include "backend/repack_buffer.h"
#include "backend/worker_layers.h"
#include "history/model_fingerprint.h"
#include "history/run_history.h"
#include "hypura/engine.h"
#include "hypura/profile.h"
#include "llama/llama_guard.h"
#include "llama/open/mtp_layers.h"
#include "machine/memory.h"
#include "plan/budget_choice.h"
#include "plan/worker_speeds.h"
#include "residency/tier_quotas.h"
#include "store/repacked_copy.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/units.h"
#include "tiers/direct_place.h"
#include "tiers/slot_layout.h"

namespace hypura {

namespace {

constexpr uint32_t kFewestSlots = WorkerDevice::kFewestSlots;

// Rows of an ask are fewer than kMostPairs where more than this of the budget would go to what is no slot.
constexpr double kMostForAsks = 0.25;
constexpr uint32_t kFewestPairs = 64;

// Of a ring for feed-forward parts. Chosen.
constexpr uint64_t kRingRanges = 3;  // at least
constexpr uint64_t kRingParts = 2;   // at most
constexpr uint64_t kRingShare = 4;   // of the memory, at most, beyond the least
constexpr uint64_t kRangeBytes = 16 * kMiB;

// Of whole layers: what is no matrix stays in memory, of a budget at most this part.
constexpr uint64_t kResidentShare = 8;
// What messages, graphs and ggml's own work take of the memory for them, of a small one at most this part. Chosen.
constexpr uint64_t kLayersOverhead = 48 * kMiB;
constexpr uint64_t kOverheadShare = 4;

Result<std::unique_ptr<Reader>> open_worker_reader(const Model& model, const RepackedCopy& repacked) {
  std::vector<std::filesystem::path> paths = repacked.files;
  for (const ModelFile& file : model.files) {
    paths.push_back(file.path);
  }
  auto reader = Reader::open(paths, {});
  if (reader && !(*reader)->notice().empty()) {
    logger().warn("{}", (*reader)->notice());
  }
  return reader;
}

// What a peer has of memory for its asks and their replies, and the server for the messages that they come in, go, and
// wait to go in.
uint64_t message_bytes(const std::vector<WorkerLayer>& layers, uint32_t pairs) {
  uint64_t most = 0;
  for (const WorkerLayer& it : layers) {
    most = std::max({most, ask_bytes(pairs, pairs, it.width), reply_bytes(it.experts, pairs, it.result)});
  }
  return std::min(2 * most, kMostBufferBytes) + 3 * std::min(most, kMostBufferBytes);
}

struct WorkerSizes {
  uint32_t pairs = 0;  // of an ask
  bool whole_layers = false;
  uint64_t resident = 0;  // biases; of whole layers all that is not streamed
  uint64_t messages = 0;  // and what is computed of them
  uint64_t buffers = 0;   // of experts: of rows; of a matrix that is repacked
  uint64_t stride = 0;    // of a slot; of feed-forward parts the memory for the largest
  uint64_t ring = 0;      // of feed-forward parts, or of whole layers: the least
  uint32_t all = 0;       // experts or feed-forward parts
  bool experts = false;

  uint64_t least() const {
    const uint64_t slots = kFewestSlots * stride;
    return resident + messages + buffers + (experts ? ring + slots : std::max(ring, slots));
  }
};

uint64_t least_ring(const StreamLayout& layout) {
  uint64_t bytes = 0;
  for (const DenseItem& it : layout.dense) {
    bytes = std::max(bytes, kRingRanges * place_capacity(it.extent.length));
  }
  return bytes;
}

// Where layers take much that is not streamed their parts are computed alone. `layout`: with dense matrices.
bool has_whole_layers(const Model& model, const StreamLayout& layout, uint64_t budget) {
  const uint64_t ring = layout.expert_layers.empty() ? 0 : least_ring(layout);
  return !layout.dense.empty() && model.mtp_layers == 0 &&
         WorkerWeights::resident_bytes(model, layout, true) + ring <= budget / kResidentShare;
}

WorkerSizes sizes_of(const Model& model, const StreamLayout& layout, uint32_t pairs, uint64_t budget) {
  const std::vector<WorkerLayer> layers = worker_layers(layout);
  WorkerSizes sizes;
  sizes.pairs = pairs;
  sizes.whole_layers = has_whole_layers(model, layout, budget);
  sizes.resident = WorkerWeights::resident_bytes(model, layout, sizes.whole_layers);
  sizes.messages = message_bytes(layers, pairs) + WorkerDevice::bytes_for(layers, pairs);
  for (const WorkerLayer& it : layers) {
    sizes.all += it.experts;
    sizes.stride = std::max(sizes.stride, it.bytes);
  }
  sizes.experts = !layout.expert_layers.empty();
  if (sizes.experts) {
    sizes.buffers = StreamedWeights::expert_buffer_bytes(layout, pairs) + RepackBuffer::bytes(layout, pairs);
    sizes.stride = SlotLayout(layout.expert_layers).stride();
  } else if (sizes.whole_layers) {
    sizes.buffers = RepackBuffer::bytes(layout, kMostPairs);
  }
  sizes.ring = least_ring(layout);
  return sizes;
}

// With as many rows as the budget is large enough for.
WorkerSizes sizes_within(const Model& model, const StreamLayout& layout, uint64_t budget) {
  uint32_t pairs = kMostPairs;
  while (pairs > kFewestPairs && static_cast<double>(sizes_of(model, layout, pairs, budget).least()) >
                                     kMostForAsks * static_cast<double>(budget)) {
    pairs /= 2;
  }
  return sizes_of(model, layout, pairs, budget);
}

// As many slots as the budget holds, as many for one layer as for another; spare ones for what a token misses.
Placement place_experts(const Model& model, const StreamLayout& layout, const WorkerSizes& sizes, uint64_t budget) {
  Placement placement;
  placement.ubatch = sizes.pairs;
  ExpertPlacement& experts = placement.experts;
  experts.streamed = true;
  experts.all = sizes.all;
  const uint64_t fit = kFewestSlots + (budget - sizes.least()) / sizes.stride;
  experts.slots = static_cast<uint32_t>(std::min<uint64_t>(fit, experts.all));
  if (experts.slots < experts.all) {
    const auto used = static_cast<uint32_t>(std::max<int64_t>(model.experts_used, 1));
    experts.spare_slots = std::clamp(used, 1U, std::max(1U, experts.slots / 2));
  }
  std::vector<TierShare> shares;
  for (const ExpertLayer& layer : layout.expert_layers) {
    shares.push_back({layer.experts, 0});
  }
  experts.layer_slots = quotas_below(shares, {}, experts.slots - experts.spare_slots);
  if (sizes.whole_layers) {  // of which more is divided anew when they are asked for
    placement.dense.streamed = true;
    placement.dense.pinned.assign(layout.dense.size(), false);
    placement.dense.ring_bytes = sizes.ring;
    placement.dense.pinned_bytes = budget - sizes.least() - (experts.slots - kFewestSlots) * sizes.stride;
  }
  return placement;
}

// What there is beyond a ring, in which the next part that is read has place while others are computed, is for parts
// that stay: which ones, the client says. Of whole layers that is for its memory too.
Placement place_feed_forward(const StreamLayout& layout, const WorkerSizes& sizes, uint64_t budget) {
  uint64_t all = 0;
  for (const DenseItem& it : layout.dense) {
    all += place_capacity(it.extent.length);
  }
  const uint64_t left = budget - sizes.messages - sizes.buffers - sizes.resident;
  Placement placement;
  placement.ubatch = sizes.pairs;
  DensePlacement& dense = placement.dense;
  dense.streamed = true;
  dense.pinned.assign(layout.dense.size(), false);
  dense.ring_bytes = std::max(sizes.ring, std::min(kRingParts * sizes.stride, left / kRingShare));
  dense.pinned_bytes = left - dense.ring_bytes;
  if (!sizes.whole_layers) {
    dense.pinned_bytes = std::min(all, dense.pinned_bytes);
  }
  return placement;
}

Status reserve_for_worker(const WorkerSizes& sizes, OpenWorker& worker) {
  const std::array<LedgerLine, 3> lines = {LedgerLine{Purpose::kProcessOverhead, kProcessOverhead},
                                           LedgerLine{Purpose::kResidentWeights, sizes.resident},
                                           LedgerLine{Purpose::kComputeBuffers, sizes.messages}};
  for (const LedgerLine& line : lines) {
    auto reservation = worker.budget->reserve(line.purpose, Tier::kRam, line.bytes);
    if (!reservation) {
      return propagate(reservation.error());
    }
    worker.reserved.push_back(std::move(*reservation));
  }
  return {};
}

WorkerVerdict facts_of(const WorkerRequest& request, const OpenWorker& worker, const WorkerSizes& sizes,
                       const Placement& placement, uint64_t budget) {
  const StreamLayout& layout = worker.weights->layout();
  WorkerVerdict facts;
  facts.identity = worker_identity(model_fingerprint(*worker.model), layout.repacked, ggml_build(), cpu_kernels());
  for (const WorkerLayer& it : worker.names->layers()) {
    ++facts.layers;
    facts.experts = std::max(facts.experts, it.experts);
  }
  const DensePlacement& dense = placement.dense;
  const auto fit = static_cast<uint32_t>(std::min<uint64_t>(dense.pinned_bytes / sizes.stride, sizes.all));
  facts.slots = sizes.experts ? placement.experts.slots : fit;
  if (sizes.whole_layers) {
    const uint64_t all = dense.pinned_bytes + placement.experts.slots * sizes.stride;
    const uint64_t theirs = all - std::min(kLayersOverhead, all / kOverheadShare);
    facts.peer_memory = sizes.experts && theirs <= kFewestSlots * sizes.stride ? 0 : theirs;
  }
  facts.most_pairs = placement.ubatch;
  facts.threads = request.threads > 0 ? request.threads : usable_cores();
  facts.slot_bytes = sizes.stride;
  facts.budget = budget;
  ProfileOptions of_this_disk;
  of_this_disk.path = request.model;
  const auto profile = cached_profile(of_this_disk);
  tell_speeds(layout, profile ? &*profile : nullptr, facts.threads, facts);
  return facts;
}

// Weights, slots and devices, by what the budget holds.
Status open_layers(const WorkerRequest& request, uint64_t budget, StreamLayout layout, OpenWorker& worker) {
  const WorkerSizes sizes = sizes_within(*worker.model, layout, budget);
  if (budget < sizes.least()) {
    return fail(ErrorCode::kBudget, "the memory of {} is too little for a worker of {}: it takes {} at least",
                format_bytes(budget), worker.model->name, format_bytes(sizes.least()));
  }
  const bool dense = layout.expert_layers.empty();
  const Placement placement =
      dense ? place_feed_forward(layout, sizes, budget) : place_experts(*worker.model, layout, sizes, budget);
  worker.all = sizes.all;
  worker.budget = std::make_unique<Budget>(budget + kProcessOverhead);
  if (Status status = reserve_for_worker(sizes, worker); !status) {
    return status;
  }
  auto weights = StreamedWeights::create(*worker.model, *worker.reader, std::move(layout));
  if (!weights) {
    return propagate(weights.error());
  }
  worker.weights = std::move(*weights);
  auto names = WorkerWeights::create(*worker.weights, sizes.whole_layers);
  if (!names) {
    return propagate(names.error());
  }
  worker.names = std::move(*names);
  if (Status status =
          worker.weights->allocate_caches(placement, ReadAhead::kNone, !dense || sizes.whole_layers, *worker.budget);
      !status) {
    return status;
  }
  const uint64_t room = placement.dense.pinned_bytes;
  if (Status status = placement.dense.streamed ? worker.weights->take_dense_room(room) : Status(); !status) {
    return status;
  }
  worker.facts = facts_of(request, worker, sizes, placement, budget);
  worker.weights->set_threads(static_cast<int>(worker.facts.threads));
  auto device =
      WorkerDevice::create(*worker.weights, *worker.names, *worker.reader, worker.facts, room, placement.experts);
  if (!device) {
    return propagate(device.error());
  }
  worker.device = std::move(*device);
  return {};
}

// Experts, and where whole layers may be computed, and of a model without experts, the matrices of layers; nothing
// else.
StreamLayout worker_layout(const Model& model, bool repacked, uint64_t budget) {
  const auto lay = [&](bool dense) {
    StreamLayout layout = lay_out(model, model.experts > 0, dense, repacked, {}, kRangeBytes);
    std::erase_if(layout.dense, [](const DenseItem& it) { return it.tensor->layer < 0; });
    return layout;
  };
  StreamLayout all = lay(true);
  return model.experts == 0 || has_whole_layers(model, all, budget) ? std::move(all) : lay(false);
}

Result<std::unique_ptr<OpenWorker>> open_guarded(const WorkerRequest& request) {
  auto model = open_model(request.model);
  if (!model) {
    return propagate(model.error());
  }
  EngineOptions options;
  options.model = request.model;
  options.memory = request.memory;
  const auto budget = choose_budget(options);
  if (!budget) {
    return propagate(budget.error());
  }
  auto worker = std::make_unique<OpenWorker>();
  worker->remark = budget->remark;
  worker->model = std::make_unique<const Model>(std::move(*model));
  const RepackedCopy repacked = request.repacked ? find_repacked(*worker->model) : RepackedCopy();
  StreamLayout layout = worker_layout(*worker->model, !repacked.files.empty(), budget->bytes);
  if (worker_layers(layout).empty()) {
    return fail(ErrorCode::kUsage, "{} has neither experts nor feed-forward parts of a kind that a worker computes",
                worker->model->name);
  }
  auto reader = open_worker_reader(*worker->model, repacked);
  if (!reader) {
    return propagate(reader.error());
  }
  worker->reader = std::move(*reader);
  if (Status status = open_layers(request, budget->bytes, std::move(layout), *worker); !status) {
    return propagate(status.error());
  }
  const RunHistory history = load_history(used_part(*worker->model, false), nullptr);
  if (history.routing) {
    worker->weights->recall(*history.routing);
  }
  return worker;
}

}  // namespace

Result<std::unique_ptr<OpenWorker>> open_worker(const WorkerRequest& request) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  return guarded(ErrorCode::kBadModel, request.model.string(), [&] { return open_guarded(request); });
}

void start_worker(OpenWorker& worker) {
  worker.threadpool = make_threadpool(worker.facts.threads);
  if (worker.threadpool != nullptr) {
    worker.weights->set_threadpool(worker.threadpool.get());
  }
  worker.weights->warm_up();
}

void serve_worker(OpenWorker& worker, RpcListener listener) {
  WorkerDevice& device = *worker.device;
  listener.connected = [&](const std::string& peer) {
    device.begin_connection();
    logger().info("a client connects from {}", peer);
  };
  listener.disconnected = [](const std::string& why) { logger().info("the client is gone: {}", why); };
  listener.greeted = [&] { return device.accepted(); };
  listener.whole_layers = [&] { return device.whole_layers(); };
  const auto serve = [&]() -> Status {
    serve_rpc(listener, device.devices());
    return {};
  };
  while (true) {
    const Status served =
        guarded(ErrorCode::kUsage, "what the client sent ended its connection", serve, Guarding::kPass);
    if (served) {
      return;
    }
    logger().warn("{}", served.error().message);
  }
}

}  // namespace hypura
