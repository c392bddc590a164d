// The part of WorkerDevice that computes whole layers in memory of a peer's.
#include <algorithm>
#include <chrono>
#include <utility>

#include "backend/graph_uses.h"
#include "backend/worker/worker_device.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

std::string WorkerDevice::layers_refusal(const WorkerHello& hello) const {
  if (hello.split != AskedSplit::kLayers) {
    return "it asks for a kind of work that this version does not know: install the same Hypura on both machines";
  }
  if (facts_.peer_memory == 0) {
    return names_.layers().front().dense
               ? "the worker has too little memory for whole layers: give it more, or give --split auto"
               : "a worker computes whole layers of models without experts alone: give --split experts or auto";
  }
  if (memory_.bytes() > facts_.peer_memory) {
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
  const uint64_t most = layers ? facts_.peer_memory : kMostBufferBytes;
  if (bytes > most) {
    refuse(fmt::format("buffers of {} are more than the {} that it may have", format_bytes(bytes), format_bytes(most)));
    return false;
  }
  return !layers || room_ <= most - bytes || take_room(most - bytes);
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
  auto made = LayersPlan::make(graph, names_, memory_, facts_.threads);
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
