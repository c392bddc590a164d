// The part of WorkerDevice that computes whole layers in memory of a peer's.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "backend/graph_uses.h"
#include "backend/worker/worker_device.h"
#include "placement/cost.h"
#include "residency/tier_quotas.h"
#include "support/fail.h"
#include "support/units.h"
#include "tiers/direct_place.h"

namespace hypura {

std::string WorkerDevice::layers_refusal(const WorkerHello& hello) const {
  if (hello.split != AskedSplit::kLayers) {
    return "it asks for a kind of work that this version does not know: install the same Hypura on both machines";
  }
  if (facts_.peer_memory == 0) {
    return weights_.model().mtp_layers > 0
               ? "a worker does not compute whole layers of models with MTP layers: give --split experts or auto"
               : "the worker has too little memory for whole layers: give it more, or give --split auto";
  }
  if (memory_.bytes() > facts_.peer_memory - least_for_experts()) {
    return "it has more memory than the worker has for whole layers";
  }
  if (hello.threads != facts_.threads && hello.any_cpu == 0) {
    return fmt::format(
        "the worker computes with {} threads, and what asks with {}, so that attention would differ in its last bits: "
        "give both the same number with --threads",
        facts_.threads, hello.threads);
  }
  return {};
}

// What a peer has of whole layers is taken from what stays of the weights.
bool WorkerDevice::may_have(uint64_t bytes) {
  const bool layers = whole_layers();
  const uint64_t most = layers ? facts_.peer_memory - least_for_experts() : kMostBufferBytes;
  if (bytes > most) {
    refuse(fmt::format("buffers of {} are more than the {} that it may have", format_bytes(bytes), format_bytes(most)));
    return false;
  }
  if (layers && has_experts()) {
    const uint64_t left = facts_.peer_memory - bytes;
    return (divided_ && taken_ <= left) || divide(left);
  }
  return !layers || room_ <= most - bytes || take_room(most - bytes);
}

// Which layers the connection will have computed.
void WorkerDevice::keep_layers(std::span<const std::byte> bytes) {
  kept_.clear();
  kept_layers_.assign(kept_layers_.size(), false);
  const std::vector<DenseItem>& all = weights_.layout().dense;
  for (size_t at = 0; at + sizeof(WarmExpert) <= bytes.size(); at += sizeof(WarmExpert)) {
    WarmExpert it;
    std::memcpy(&it, bytes.data() + at, sizeof(it));
    if (it.layer >= kept_layers_.size()) {
      refuse(fmt::format("layer {} is wanted, which there is not", it.layer));
      return;
    }
    for (uint32_t item = 0; !kept_layers_[it.layer] && item < all.size(); ++item) {
      if (all[item].tensor->layer == int{it.layer}) {
        kept_.push_back(item);
      }
    }
    kept_layers_[it.layer] = true;
  }
  if (has_experts()) {
    divide(facts_.peer_memory - memory_.bytes());
  } else {
    keep_items();
  }
}

// As many as the layers that are kept have experts, and some spare ones for what is read where that is not all.
ExpertPlacement WorkerDevice::slots_for_layers(uint64_t bytes) const {
  ExpertPlacement slots = most_slots_;
  std::vector<TierShare> shares;
  uint32_t wanted = 0;
  for (const WorkerLayer& it : names_.layers()) {
    const uint32_t its = kept_layers_[static_cast<size_t>(it.layer)] ? it.experts : 0;
    shares.push_back({its, 0});
    wanted += its;
  }
  const auto used = static_cast<uint32_t>(std::max<int64_t>(weights_.model().experts_used, 1));
  const uint64_t fit = std::max<uint64_t>(bytes / facts_.slot_bytes, kFewestSlots);
  slots.slots = static_cast<uint32_t>(std::min<uint64_t>(fit, std::max(wanted + used, kFewestSlots)));
  slots.spare_slots = slots.slots > wanted ? slots.slots - wanted : std::clamp(used, 1U, std::max(1U, slots.slots / 2));
  slots.layer_slots = quotas_below(shares, {}, slots.slots - slots.spare_slots);
  return slots;
}

// The memory is for what every token uses first, and then for experts.
bool WorkerDevice::divide(uint64_t bytes) {
  uint64_t room = 0;
  for (const uint32_t item : kept_) {
    room += place_capacity(weights_.layout().dense[item].extent.length);
  }
  room = std::min(room, bytes - least_for_experts());
  divided_ = true;
  if (!take_slots(slots_for_layers(bytes - room), room)) {
    return false;
  }
  weights_.keep_dense(kept_);
  warm_layers();
  return true;
}

// What is given back first is there for other purposes.
bool WorkerDevice::take_slots(const ExpertPlacement& slots, uint64_t room) {
  Status taken = weights_.take_dense_room(0);
  taken = taken ? weights_.replace_slots(slots) : std::move(taken);
  may_compute_ = taken.has_value();
  taken = taken ? weights_.take_dense_room(room) : std::move(taken);
  taken_ = slots.slots * facts_.slot_bytes + room;
  if (!taken) {
    refuse(taken.error().message);
  }
  return taken.has_value();
}

// Read while nothing is asked.
void WorkerDevice::warm_layers() {
  std::vector<LayerExpert> all;
  for (uint32_t layer = 0; layer < names_.layers().size(); ++layer) {
    const WorkerLayer& its = names_.layers()[layer];
    for (uint32_t expert = 0; kept_layers_[static_cast<size_t>(its.layer)] && expert < its.experts; ++expert) {
      all.push_back({layer, expert});
    }
  }
  weights_.warm(all);
}

bool WorkerDevice::may_change_directly() {
  if (!whole_layers()) {
    refuse("memory is filled, cleared or copied for whole layers alone");
  }
  return whole_layers();
}

// Nothing of what stayed does any more: it is read again as it is used.
bool WorkerDevice::take_room(uint64_t bytes) {
  const Status taken = weights_.take_dense_room(bytes);
  room_ = taken ? bytes : 0;
  if (!kept_.empty()) {
    weights_.keep_dense(kept_);
  }
  if (!taken) {
    refuse(taken.error().message);
  }
  return taken.has_value();
}

void WorkerDevice::forget_plans() {
  for (const auto& it : backends_) {
    it->plan.reset();
    it->plan_number = 0;
  }
  freed_before_plans_ = memory_.freed();
}

// The server makes a new graph of each that it is sent, and gives it no number: one that has the number which we gave
// it is the one that was checked.
Result<LayersPlan*> WorkerDevice::plan_of(ggml_cgraph* graph, Backend& backend) {
  if (memory_.freed() != freed_before_plans_) {
    forget_plans();
  }
  if (backend.plan && graph_number(graph) == backend.plan_number) {
    return &*backend.plan;
  }
  backend.plan.reset();
  auto made = LayersPlan::make(graph, names_, memory_, facts_.threads, facts_.most_pairs);
  if (!made) {
    return propagate(made.error());
  }
  backend.plan = std::move(*made);
  backend.plan_number = ++plan_numbers_;
  number_graph(graph, backend.plan_number);
  return &*backend.plan;
}

void WorkerDevice::compute_layers(ggml_cgraph* graph, Backend& backend) {
  const auto start = std::chrono::steady_clock::now();
  const double waited = weights_.stats().io_wait_seconds;
  const ReaderStats read = reader_.stats();
  layers_status_ = {ReplyStatus::kRefused, layers_status_.graphs, 0, 0, 0};
  const auto plan = plan_of(graph, backend);
  Status status = plan ? (*plan)->read_indices() : propagate(plan.error());
  if (!status) {
    refuse(status.error().message);
    return;
  }
  if (has_experts()) {
    weights_.begin_pass((*plan)->routed_rows() > kMostDecoded ? Phase::kPrefill : Phase::kDecode);
  }
  if (weights_.compute((*plan)->graph()) == GGML_STATUS_SUCCESS) {
    layers_status_.status = ReplyStatus::kDone;
    ++layers_status_.graphs;
  } else {
    layers_status_.status = ReplyStatus::kFailed;
    fail_with(weights_.take_error());
  }
  const ReaderStats now = reader_.stats();
  layers_status_.read_bytes = now.demand_bytes + now.prefetch_bytes - read.demand_bytes - read.prefetch_bytes;
  layers_status_.nanoseconds = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
  layers_status_.wait_nanoseconds = static_cast<uint64_t>((weights_.stats().io_wait_seconds - waited) * 1e9);
}

}  // namespace hypura
