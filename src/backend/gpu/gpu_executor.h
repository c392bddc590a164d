// Computes graphs whose products with experts lie on a device that has room for some of them: nodes as they stand, with
// their weights pointed to the slots for as long as that takes.
//
// A graph is handed to the device in segments. Three ways for the experts of a layer:
// - all of them have slots: nothing is cut and nothing is fetched, the slots are the matrix;
// - as a rule in decoding: the segment ends at the router, whose choice is fetched; what is missing comes into the
//   slots, and slot numbers take the place of the expert numbers; with mixed computing the processors compute what is
//   missing (cpu_experts.h);
// - where the tokens choose nearly all, or more than there are slots: the whole layer passes through (layer_staging.h),
//   and nothing is fetched; without room for that, some experts at a time (expert_waves.h).
//
// While nothing passes through, layers that are alike borrow the room for that as further slots (slot_pool.h).
//
// Each product has the operands that it would have with everything resident, and the kernels are the device's own:
// hence the same bits, but for what the processors compute.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/block_predictor.h"
#include "backend/gpu/cpu_experts.h"
#include "backend/gpu/device_slots.h"
#include "backend/gpu/expert_source.h"
#include "backend/gpu/expert_waves.h"
#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_stats.h"
#include "backend/gpu/layer_staging.h"
#include "backend/gpu/prefetch/slot_prefetch.h"
#include "backend/gpu/slot_pool.h"
#include "backend/gpu/slot_seeds.h"
#include "backend/streamed_weights.h"
#include "hypura/routing.h"
#include "residency/routing_recorder.h"
#include "storage/reader.h"
#include "tiers/expert_store.h"

namespace hypura {

class DirectReads;

// Not thread-safe: the owner serialises. The references must outlive the object.
class GpuExecutor {
 public:
  // Choices for each expert of a layer from which on the whole layer is brought, unseen.
  static constexpr int64_t kChoicesForAll = 2;

  // Most tokens whose products do not depend on how many experts a matrix has; more are computed with all of them under
  // their own numbers. From there on CUDA's kernels divide the work of all experts among the multiprocessors, and a sum
  // that is cut has other last bits (ggml-cuda/mmvq.cu, mmq.cuh of llama.cpp v0.5.0, for GPUs from Turing on).
  static int64_t most_by_slots(std::span<const ExpertLayer> layers);

  struct Most {
    uint32_t used = 1;    // experts that a token takes in a layer
    uint32_t tokens = 1;  // of a pass
  };

  // Numbers of slots that have a place, of each layer, and bytes for a router's choice as the device has it. Where
  // layers are staged, for as many tokens as choose by slots.
  struct IdCounts {
    uint64_t ids = 0;
    uint64_t fetched_bytes = 0;
  };
  static IdCounts id_counts(const StreamLayout& layout, uint32_t used, uint32_t tokens, bool stages);

  // For the layers of `use`; other devices compute the others. A layer without slots is always staged. `below` holds
  // what the device does not, for all devices: before it is another's turn, settle(). nullptr where the device computes
  // in the machine's memory, and `reader` reads what has no slot. `processors` compute where use.mixed says so, and
  // there is a tier below. Fails with kBudget, with kInternal when a layer can neither be staged nor has slots.
  static Result<std::unique_ptr<GpuExecutor>> create(const StreamedWeights& weights, GpuDevice& device,
                                                     ExpertStore* below, Reader& reader, const GpuUse& use,
                                                     const Most& most, InnerGraph* processors = nullptr);
  ~GpuExecutor();
  GpuExecutor(const GpuExecutor&) = delete;
  GpuExecutor& operator=(const GpuExecutor&) = delete;

  // Begins to compute the graph, as graph_compute of a ggml backend: nodes and sources are as before when it returns,
  // well or badly. Fails with kIo, with kInternal when the router chose an expert that is not there or ggml refused.
  // Once the device has thrown it is lost: run() fails with kInternal from then on.
  Status run(ggml_cgraph* graph, bool decode);

  // From now on the next layer's experts are prefetched as `predictor`, which must outlive the object, says, in decode
  // passes of few tokens; nullptr: none are. With `copies` to the device too, where layers may pass through; else to
  // RAM.
  void predict_by(BlockPredictor* predictor, bool copies);

  // From now on what is chosen is noted in `recorder`, which must outlive the object, as far as it is looked at; with
  // `all` everything is looked at, at the price of a cut in front of each layer.
  void record(RoutingRecorder* recorder, bool all);

  // What earlier runs chose, which the tier below has learned from: what was used most is to be brought by warm(). Call
  // at most once, before the first run().
  void recall(const RoutingTrace& trace);

  // Until the first run(): brings some of what the layers are to have on the device, first those that have slots for
  // all of their experts, then what was recalled. Blocks for as long as a few reads take. False when nothing is left to
  // do.
  bool warm();

  // The device has thrown.
  bool lost() const { return lost_.has_value(); }

  // Ends all copies: nothing of the tier below is held any more, so that another device's executor may use it. Fails
  // with kInternal when the device is lost.
  Status settle();

  // Whether the expert is in a slot of the device.
  bool resident(uint32_t layer, uint32_t expert) const;

  const GpuStats& stats() const { return stats_; }  // any thread

 private:
  // A product with streamed experts.
  struct Product {
    ggml_tensor* node = nullptr;
    int index = 0;  // in the graph
    uint32_t part = 0;
  };
  // The products of a layer on one choice of experts.
  struct Block {
    uint32_t layer = 0;
    const ggml_tensor* ids = nullptr;  // i32 [experts used, tokens]
    int first = 0;                     // graph nodes of its first and last product
    int last = 0;
    size_t begin = 0;  // of products_
    size_t end = 0;
    std::optional<ExpertBlock> rows = {};  // with mixed computing: all of them as one run of nodes, where they are
  };
  struct Patch {
    ggml_tensor* node = nullptr;
    ggml_tensor* weight = nullptr;
    ggml_tensor* ids = nullptr;
  };
  struct DeviceLayer {
    uint32_t slots = 0;               // of its own
    uint32_t filled = 0;              // with a slot for every expert: the first so many are there
    ggml_tensor* slot_ids = nullptr;  // i32, shaped anew for each pass
    int32_t* host_ids = nullptr;      // what is copied there
  };

  GpuExecutor(const StreamedWeights& weights, GpuDevice& device, ExpertStore* below, Reader& reader);
  Status allocate(const GpuUse& use, const Most& most);
  Status allocate_ids(const Most& most);
  Status run_blocks(ggml_cgraph* graph);
  Status find_blocks(ggml_cgraph* graph);
  Status run_block(ggml_cgraph* graph, const Block& block);
  Status use_whole(const Block& block);
  Status use_staged(ggml_cgraph* graph, const Block& block);
  Status stage_by_copying(ggml_cgraph* graph, const Block& block);
  Status stage_by_reading(ggml_cgraph* graph, const Block& block);
  bool seeds(const Block& block) const;
  Status use_slots(const Block& block);
  void read_rest(uint32_t layer);
  Status use_numbered(ggml_cgraph* graph, const Block& block);
  Status allocate_pool(const GpuUse& use, uint32_t used);
  uint32_t usable_slots(uint32_t layer) const;
  Status borrow();
  void give_back();
  Status use_waves(ggml_cgraph* graph, const Block& block);
  Status look_at_choice(ggml_cgraph* graph, const Block& block);
  Status allocate_mixed(InnerGraph& processors);
  void find_rows(const ggml_cgraph* graph);
  bool mixes(const Block& block) const;
  Status use_mixed(ggml_cgraph* graph, const Block& block);
  Status raise_best(uint32_t layer);
  Status fetch_ids(const Block& block);
  ChoosingBlock choosing(const Block& block) const;
  void prefetch(const Block& block);
  void note_choice(const Block& block);
  Status fill_whole(uint32_t layer, uint64_t most_bytes);
  Result<bool> warm_some();
  Status warm_slots();
  Status note_lost(const std::exception& error);
  Status bring_chosen(const Block& block);
  void number_slots(uint32_t layer, std::span<const uint16_t> chosen, std::span<int32_t> slots) const;
  ggml_tensor* remapped(const Block& block);
  bool holds_all(uint32_t layer) const;
  bool stages(const Block& block) const;
  void patch(const Block& block, std::span<ggml_tensor* const> matrices, ggml_tensor* ids);
  void restore();
  Status compute(ggml_cgraph* graph, int end);

  const StreamedWeights& weights_;
  const std::vector<ExpertLayer>& layers_;
  GpuDevice& device_;
  ExpertStore* below_;
  GpuStats stats_;
  std::unique_ptr<ExpertSource> source_;
  DirectReads* reads_ = nullptr;           // where that is what source_ is
  std::unique_ptr<SlotPool> pool_;         // where layers borrow slots
  bool borrowing_ = false;                 // now
  bool passed_ = false;                    // in the graph in work a layer has passed through
  DeviceSlots* slots_ = nullptr;           // the store's
  std::unique_ptr<ExpertStore> store_;     // of the experts in slots
  std::unique_ptr<LayerStaging> staging_;  // or waves_
  std::unique_ptr<SlotSeeds> seeds_;       // with staging_
  std::unique_ptr<ExpertWaves> waves_;
  std::unique_ptr<SlotPrefetch> prefetch_;
  BlockPredictor* predictor_ = nullptr;
  std::unique_ptr<CpuExperts> cpu_;  // with mixed computing
  RoutingRecorder* recorder_ = nullptr;
  bool looks_at_all_ = false;
  std::optional<Error> lost_;  // the device is
  std::vector<DeviceLayer> device_layers_;

  ggml_context_ptr context_;
  ggml_backend_buffer_ptr ids_buffer_;
  ggml_backend_buffer_ptr host_buffer_;  // of all that is copied from and to the host
  int32_t* fetched_ = nullptr;           // the router's choice as it lies on the device
  uint64_t fetched_bytes_ = 0;           // room for it
  int64_t most_ids_ = 0;                 // in slot_ids

  // To be brought by warm(), until the first graph.
  bool warming_ = true;
  std::vector<LayerExpert> hot_;  // to slots of the device, hottest first

  // Of the graph in work; members so that their memory is reused.
  bool decode_ = false;
  int computed_ = 0;                        // nodes that were handed to the device
  std::optional<ChoosingBlock> looked_at_;  // whose choice is routed_
  uint64_t found_in_ = 0;                   // the number of the graph that products_ and blocks_ are of
  std::vector<Product> products_;
  std::vector<Block> blocks_;
  std::vector<Patch> patches_;
  std::vector<uint16_t> routed_;  // [token][used]
  std::vector<uint32_t> wanted_;  // distinct ones, ascending
  std::vector<ExpertPrediction> predictions_;
  std::vector<uint32_t> rest_;    // all of a layer's
  std::vector<uint32_t> there_;   // of these, in slots of the device
  std::vector<uint32_t> missed_;  // and not
};

}  // namespace hypura
