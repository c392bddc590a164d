// Mixed computing: the device computes what has slots there, and the processors what has not.
#include <algorithm>

#include "backend/gpu/gpu_executor.h"
#include "support/fail.h"

namespace hypura {

namespace {

// An expert is copied to the device's slots when it is worth so many times what it would drive out. Chosen: what is
// worth little more comes and goes, and each copy takes about as long as computing it here does.
constexpr double kWorthCopying = 1.5;

}  // namespace

Status GpuExecutor::allocate_mixed(InnerGraph& processors) {
  auto cpu = CpuExperts::create({weights_.layout(), weights_.model(), *below_, processors, device_, stats_});
  if (!cpu) {
    return propagate(cpu.error());
  }
  cpu_ = std::move(*cpu);
  return {};
}

// Other nodes may stand between the products of a layer: such a layer's experts are all brought.
void GpuExecutor::find_rows(const ggml_cgraph* graph) {
  for (Block& block : blocks_) {
    ExpertBlock rows = parse_expert_block(graph, block.first, weights_);
    const auto products = std::ranges::count_if(rows.nodes, [](const BlockNode& it) { return it.weight != nullptr; });
    if (static_cast<size_t>(products) == block.end - block.begin && cpu_->takes(rows)) {
      block.rows = std::move(rows);
    }
  }
}

bool GpuExecutor::mixes(const Block& block) const {
  return cpu_ != nullptr && block.rows && device_layers_[block.layer].slots >= block.ids->ne[0];
}

// The device computes all rows, those that are not its own with some other expert: they are written over.
Status GpuExecutor::use_mixed(ggml_cgraph* graph, const Block& block) {
  there_.clear();
  missed_.clear();
  for (const uint32_t expert : wanted_) {
    (store_->resident(block.layer, expert) ? there_ : missed_).push_back(expert);
  }
  if (missed_.empty()) {
    return use_slots(block);
  }
  source_->settle();
  cpu_->choose(routed_, missed_);
  store_->acquire(block.layer, {routed_, static_cast<uint32_t>(block.ids->ne[0]), decode_}, there_);
  (decode_ ? stats_.decode_lookups : stats_.prefill_lookups) += missed_.size();
  Status status;
  if (there_.empty()) {
    computed_ = block.rows->end;
  } else {
    patch(block, slots_->matrices(block.layer), remapped(block));
    status = compute(graph, block.rows->end);
  }
  store_->finish();
  if (status) {
    status = cpu_->compute(decode_);
  }
  return status ? raise_best(block.layer) : status;
}

// Of what the processors computed the expert that is worth most gets a slot, if it should have one: else the slots
// would hold for ever what they began with. One in a pass, since other layers wait for the copy.
Status GpuExecutor::raise_best(uint32_t layer) {
  std::erase_if(missed_, [&](uint32_t expert) { return !below_->resident(layer, expert); });  // or it is read again
  if (missed_.empty()) {
    return {};
  }
  const uint32_t best =
      *std::ranges::max_element(missed_, {}, [&](uint32_t expert) { return store_->worth(layer, expert); });
  if (store_->worth(layer, best) <= kWorthCopying * store_->least_worth(layer)) {
    return {};
  }
  slots_->set_decode(false);  // it was looked up before
  store_->acquire(layer, {{}, 1, false}, {&best, 1});
  Status status = store_->wait(0);
  store_->finish();
  return status;
}

}  // namespace hypura
