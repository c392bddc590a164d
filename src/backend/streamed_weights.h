// The weights of one model while it is open: which bytes are resident, which come from disk, and the memory for both.
//
// llama.cpp sees two buffer types. Tensors in the resident one have their memory here and are read, in parallel and by
// direct I/O, as soon as llama.cpp has placed them. Tensors in the stream one have addresses but no memory: the
// operations that use them are computed by our device (stream_device.h), from slots, the ring, or pinned memory.
//
// Slot state lives here and not in a ggml backend, because llama.cpp makes a backend for each context. compute() takes
// a lock; everything else is for the thread that opens the model, before the first compute().
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend/asking_manner.h"
#include "backend/gpu/device_sizes.h"
#include "backend/inner_graph.h"
#include "backend/stream_layout.h"
#include "backend/stream_stats.h"
#include "ggml-backend-impl.h"
#include "ggml-cpp.h"
#include "hypura/placement.h"
#include "hypura/routing.h"
#include "remote/worker_address.h"
#include "residency/layer_expert.h"
#include "residency/prefetch_switch.h"
#include "storage/reader.h"
#include "support/memory/budget.h"
#include "support/memory/memory_region.h"

namespace hypura {

class BlockPredictor;
struct ExpertBlock;
class DenseExecutor;
class DenseStore;
class ExpertExecutor;
class ExpertStore;
class GpuExecutor;
struct GpuMember;
struct GpuStats;
class RemoteExperts;
class RemoteFfn;
class TableExecutor;
class TableRows;
class RepackBuffer;
class RoutingRecorder;
class TierSlots;
struct WorkerStats;
struct FoundWorker;

// What a streamed tensor is, looked up when the graph uses it.
struct StreamedTensor {
  bool expert = false;
  uint32_t layer = 0;  // expert: index into StreamLayout::expert_layers
  uint32_t part = 0;   // expert: index into ExpertLayer::parts
  uint32_t item = 0;   // dense: index into StreamLayout::dense, of the first of
  uint32_t items = 0;  // so many ranges
  int32_t table = -1;  // index into StreamLayout::tables; -1: rows of it are not looked up
};

// The experts of a layer, as they are now.
struct ExpertsOfLayer {
  int layer = 0;
  std::vector<bool> resident;  // in RAM
  std::vector<bool> on_gpu;    // in a slot of the GPU; of one that is in both, RAM's goes first
  std::vector<uint16_t> used;  // empty when the routing is not recorded
};

// A GPU with slots, by ggml's name, and which of the model's layers it computes.
struct GpuRange {
  std::string device;
  int64_t first = 0;                                  // from this one
  int64_t end = std::numeric_limits<int64_t>::max();  // to the one before this
};

// The same in streamed layers.
struct GpuLayerRange {
  uint32_t first = 0;
  uint32_t end = std::numeric_limits<uint32_t>::max();

  bool has(uint32_t layer) const { return layer >= first && layer < end; }
};

// Where llama.cpp puts streamed tensors: those whose names match the regular expression into such a buffer.
struct StreamBuffers {
  std::string pattern;
  ggml_backend_buffer_type_t type = nullptr;
};

// How many experts of each streamed layer have slots in the memory of a GPU that computes some of them.
struct GpuUse {
  std::vector<uint32_t> layer_slots;  // 0 for layers that are another's
  // Two whole layers fit beside them, for passes that need more than there are slots. Else such a pass computes some
  // experts at a time, and each layer must have slots.
  bool stages = true;
  GpuLayerRange layers = {};
  bool borrows = false;  // layers borrow the room of those two as further slots, where nothing passes through
  bool mixed = false;    // what is missing there in passes of few tokens is computed by the processors, and not brought
};

class StreamedWeights {
 public:
  // `model` and `reader` must outlive the object. Registers our ggml device on first use. `gpu`: ggml's device, by its
  // name; empty: none. With one no repacked copy may be read. It has slots for experts, and these alone may be
  // streamed; or it computes layers `beside`, of which nothing is streamed. Passes of so many rows that it wants them
  // (ggml_backend_dev_offload_op) are its too: the dense weights are copied to it. Fails with kInternal for what may
  // not be, with kUsage when ggml has no such device.
  static Result<std::unique_ptr<StreamedWeights>> create(const Model& model, Reader& reader, StreamLayout layout,
                                                         const std::string& gpu = {}, bool beside = false);

  // The same with several GPUs that have slots, each for its layers, in their order. Layers before the first one's are
  // the processors', which compute their experts from RAM's slots; so are the rows of streamed tables. Of those layers
  // dense matrices may be streamed too; passes of many rows are the first GPU's there, as beside one.
  static Result<std::unique_ptr<StreamedWeights>> create_over(const Model& model, Reader& reader, StreamLayout layout,
                                                              const std::vector<GpuRange>& gpus);

  ~StreamedWeights();
  StreamedWeights(const StreamedWeights&) = delete;
  StreamedWeights& operator=(const StreamedWeights&) = delete;

  // For llama_model_params.tensor_buft_overrides: what is streamed, and, where no GPU has slots, everything else.
  std::vector<StreamBuffers> stream_buffers();
  ggml_backend_buffer_type_t resident_buffer_type() { return &resident_type_; }

  // Where the processors compute layers beside GPUs with slots: what of them is read here as well, into the resident
  // buffers, so that their routers can be asked ahead. Empty: nothing is.
  const std::string& asked_pattern() const { return asked_pattern_; }
  // The type of the first of the stream buffers.
  ggml_backend_buffer_type_t stream_buffer_type();

  // With slots on GPUs: the devices for llama_model_params.devices, which compute everything. What is not streamed lies
  // in their own buffers, not in the resident ones. None without.
  std::vector<ggml_backend_dev_t> gpu_devices();
  ggml_backend_dev_t gpu_device();  // the first of them; nullptr: there is none

  // Whether a GPU beside computes this product with a dense streamed matrix, or the first of those with slots, as
  // llama.cpp would have it with one in RAM.
  bool offloads(const ggml_tensor* product) const;

  // Until finish_loading() the stream buffers say that they are host memory: llama.cpp's loader then reads into them,
  // of a file that gives it nothing, where otherwise it would fill a staging buffer as large as each tensor. Afterwards
  // they must not, or the CPU backend would take our operations and read memory that is not there.
  bool loading() const { return is_loading_; }

  // Waits for the resident weights; `progress` gets shares of 0..1. Fails with kIo, or with kBadModel when llama.cpp
  // made a tensor the file does not hold.
  Status finish_loading(const std::function<void(double)>& progress);

  // Allocates slots, ring and pinned memory, out of `budget`, which must outlive the object, and reads the pinned
  // weights. `repack`: for products with many rows, see RepackBuffer. Call once, after llama.cpp has made its context,
  // so that the sizes can be what its buffers left of the budget. Fails with kBudget when they are more, with kIo.
  Status allocate_caches(const Placement& placement, ReadAhead read_ahead, bool repack, Budget& budget);

  // Whether resize() gives memory back; where not, why, for people: "its slots are ...".
  bool resizes() const { return why_fixed().empty(); }
  std::string why_fixed() const;

  // Divides the memory of the caches anew: by slots for experts in RAM and pinned weights, of which there may be no
  // more than allocate_caches() was given, and the ring. What is given back goes to the system at once; all that stays
  // keeps its bytes, and what is taken anew fills as it is used. Logits do not change. Done by this thread while
  // nothing is computed, or by the one that computes: between two parts of a graph and, where no GPU has slots, between
  // two batches of a layer's experts. Blocks until then. Reservations are corrected. Any thread, one at a time. Fails
  // with kBudget, with the old division, when a ring cannot be had.
  Status resize(const ExpertPlacement& experts, const DensePlacement& dense);

  // Whether resize() was called and has not been done. Any thread.
  bool resizing() const { return resize_asked_; }

  // Bytes of slots in RAM, pinned weights and ring that are reserved now. Any thread; waits for no layer.
  uint64_t cache_bytes() const;

  // Bytes that allocate_caches will take for the rows of tables.
  static uint64_t table_buffer_bytes(const StreamLayout& layout);

  // Bytes that it will take for messages to workers, where these compute feed-forward parts.
  static uint64_t worker_message_bytes(const StreamLayout& layout);

  // Bytes that allocate_caches will take for experts besides their slots: row buffers for ubatches of `max_rows`
  // tokens, the cache's books, and messages to workers.
  static uint64_t expert_buffer_bytes(const StreamLayout& layout, uint32_t max_rows);

  // The same where so many GPUs compute, and bytes of their memory besides slots and staging.
  static IdBytes gpu_buffer_bytes(const StreamLayout& layout, const Model& model, uint32_t max_rows, uint32_t gpus,
                                  bool mixed);

  void set_threads(int threads) { inner_->set_threads(threads); }
  void set_threadpool(ggml_threadpool* pool);

  // What is computed from now on, until the next call, is one pass of that kind, over these tokens, of which the last
  // `outputs` give logits; the tokens' rows of tables are read ahead.
  void begin_pass(Phase phase, std::span<const int32_t> tokens = {}, size_t outputs = 0);

  // The pass is over; it had so many tokens and took so long. Fails when a weight that another device computed with
  // could not be read, whatever llama.cpp says of the pass; take_error() tells why.
  Status end_pass(size_t tokens, double seconds);

  // Records the routing from now on, of at most `tokens` tokens, the latest. Call after allocate_caches; does nothing
  // when no experts are streamed. A GPU does not tell what is chosen in layers that it has slots for all experts of,
  // and of prompts that pass through; with `every_layer` it is asked, which costs time.
  void record_routing(uint64_t tokens, bool every_layer = false);

  // What earlier runs chose of the layers that are streamed: the cache of experts learns from it. Call at most once,
  // after allocate_caches and before record_routing; does nothing when no experts are streamed.
  void recall(const RoutingTrace& trace);

  // From now on these workers compute some experts (backend/remote_experts.h); waits until each has
  // joined or failed to. The layout must have counted them. `llama` is ggml's build. Call at most once, after
  // allocate_caches; does nothing when no experts are streamed. Fails with kInternal when the system has no threads
  // left.
  Status ask_workers(std::span<const WorkerAddress> workers, uint64_t fingerprint, const std::string& llama,
                     const AskingManner& manner);

  // Of these, before the first compute(): what was found of each; and one that is not asked after all.
  std::vector<FoundWorker> found_workers();
  void dismiss_worker(size_t worker);
  // --- for another machine, which streams the same model ---

  // From now on, of the weights' types those are repacked for products with many rows that it repacks, bit t of ggml's
  // type t: what computes a row is then the same on both. The caches must have been allocated with a repack buffer.
  void follow_repacking(uint64_t types);

  // Computes its block, whose weights are ours, in a prompt's pass or another; `ahead`, of that layer or the next one,
  // as the layout counts them, is asked for afterwards, and read as soon as all of this block is requested. Fails as
  // compute() does, and tells why.
  Status compute_block(const ExpertBlock& block, Phase phase, std::span<const LayerExpert> ahead);

  // The same of a model without experts: they compute feed-forward parts (backend/remote_ffn.h). `bytes_per_second`: of
  // this machine's reads; 0: not known. Does nothing when no such part is streamed.
  Status ask_ffn_workers(std::span<const WorkerAddress> workers, uint64_t fingerprint, const std::string& llama,
                         const AskingManner& manner, double bytes_per_second);

  // Of the workers that are asked, in their order. Any thread.
  std::vector<const WorkerStats*> worker_stats() const;

  // From now on, until the first compute(), what they used most is read, by a thread of its own.
  void warm_up();

  // From now on, until the next compute(), these are read, the most wanted first, of each layer at most its share of
  // the slots; what was to be read before and is not yet is not. Layers are counted as in the layout, and both numbers
  // are of experts that there are. Call after allocate_caches, of one thread; does nothing where GPUs have slots.
  void warm(std::span<const LayerExpert> hot);

  // For each expert of a layer, as the layout counts them, a bit, the lowest of a byte first: whether it is in RAM.
  // `bits` has bytes for all of them, which are overwritten. Any thread, but it may wait for a layer to be computed.
  void resident_map(uint32_t layer, std::span<std::byte> bits) const;

  // On a worker, whose dense weights no pass uses in the order of a model: `room` bytes for those that stay, instead of
  // what allocate_caches() pinned, which must be nothing, or of the room before, of which nothing stays. Between two
  // compute(). Fails with kBudget, without any room.
  Status take_dense_room(uint64_t room);

  // On a worker of a model with experts: other slots for them in the place of those that there are. Nothing is then in
  // them, and what was recalled is forgotten. Between two compute(). Fails with kBudget, without any slot: then nothing
  // may be computed until a call does not.
  Status replace_slots(const ExpertPlacement& experts);

  // Then: these items of the layout are expected, as DenseStore::keep_as_used(). Between two compute().
  void keep_dense(std::span<const uint32_t> items);

  // How many bytes of these items of the layout are pinned. Any thread, but it may wait as resident_map().
  uint64_t pinned_bytes(std::span<const uint32_t> items) const;

  // What was recorded; without layers when nothing is. Any thread.
  RoutingTrace routing() const;

  // The experts of all layers that are streamed, and how often each was chosen by the latest `tokens` tokens that were
  // recorded. Any thread, but it may wait for a layer to be computed.
  std::vector<ExpertsOfLayer> experts(uint64_t tokens) const;

  // Computes a part of llama.cpp's graph, on that one of the GPUs with slots, whose caller holds its lock; none: on the
  // processors. After a failure last_error() tells why.
  ggml_status compute(ggml_cgraph* graph, std::optional<size_t> gpu = {});

  // The error of the last failed compute(), which is forgotten.
  Error take_error();

  // Whether a GPU with slots is lost: nothing can be computed any more.
  bool lost() const;

  const StreamLayout& layout() const { return layout_; }
  const Model& model() const { return model_; }
  const StreamStats& stats() const { return stats_; }
  // What computes on that GPU with slots, once the caches are allocated; nullptr without one.
  const GpuExecutor* gpu(size_t number = 0) const;
  // The counters of each. Any thread.
  std::vector<const GpuStats*> gpu_stats() const;
  // ggml's names of the GPUs with slots, in the same order. Any thread.
  std::vector<std::string> gpu_names() const;
  // Spent in ggml's kernels with streamed weights so far. Any thread.
  double kernel_seconds() const { return inner_->seconds(); }

  // What `tensor` is; nullptr when it is not one of ours.
  const StreamedTensor* find(const ggml_tensor* tensor) const;

  // Called by the buffers when ggml places a tensor; records the first failure for finish_loading.
  void place_stream(ggml_tensor* tensor);
  void place_resident(ggml_tensor* tensor);
  // Copies a stretch of a streamed tensor, for an operation of another device: of a dense matrix as this device would
  // have it, pinned or through the ring; of another from disk. ggml gives it no way to fail: after a failure the rest
  // of the pass fails, and end_pass().
  void read_tensor(const ggml_tensor* tensor, void* data, uint64_t offset, uint64_t size);

 private:
  // A division of the caches' memory.
  struct Resize {
    ExpertPlacement experts;
    DensePlacement dense;
  };

  StreamedWeights(const Model& model, Reader& reader, StreamLayout layout);
  void note_placement_error(Error error);
  Status allocate_experts(uint32_t max_rows);
  Result<std::unique_ptr<TierSlots>> pinned_slots();
  Status allocate_gpus(uint32_t max_rows);
  Status add_gpu(const GpuRange& range, size_t number);
  GpuUse use_of(const GpuMember& gpu) const;
  Result<GpuExecutor*> turn_to(size_t gpu);
  Status turn_to_processors();
  Status run_on_processors(ggml_cgraph* graph);
  Status allocate_executor(uint32_t max_rows);
  Result<bool> warm_gpus();
  Status predict_on_gpus();
  void ask_routers();
  Status allocate_dense(const DensePlacement& placement);
  Status allocate_tables();
  void expect_rows(std::span<const int32_t> tokens);
  Status start_predicting();
  void predict(bool on);
  void keep_warming(bool again = false);
  uint64_t slot_bytes(const ExpertPlacement& experts) const;
  std::vector<uint32_t> quotas_of(const ExpertPlacement& experts) const;
  void apply_resize();
  void resize_if_idle();
  Result<bool> try_resize(const Resize& wanted);
  void warm_again();
  void warm_workers();
  bool streams_experts() const { return expert_store_ != nullptr || !gpus_.empty(); }
  bool computes_in_ram() const;  // a GPU that does: its slots are RAM's
  Status reserve(const Placement& placement, uint64_t repack_bytes, Budget& budget);
  Status run_nodes(ggml_cgraph* graph);
  Status run_gathered();
  Result<int> ask_for_ffn(ggml_cgraph* graph, int start);
  Status copy_tensor(const ggml_tensor* tensor, void* data, uint64_t offset, uint64_t size);
  Status read_from_disk(const TensorInfo& tensor, void* data, uint64_t offset, uint64_t size);
  uint32_t file_as_is(const TensorInfo& tensor) const;

  const Model& model_;
  Reader& reader_;
  StreamLayout layout_;
  ggml_backend_buffer_type stream_type_{};
  ggml_backend_buffer_type resident_type_{};
  std::unordered_map<std::string, StreamedTensor> by_name_;
  std::unordered_map<const ggml_tensor*, StreamedTensor> by_tensor_;

  std::unordered_map<std::string, const ggml_tensor*> resident_by_name_;
  std::vector<ReadGroup> loading_;  // one for each resident tensor
  std::vector<uint64_t> loading_bytes_;
  Error placement_error_;
  bool placement_failed_ = false;
  bool is_loading_ = true;

  mutable std::mutex mutex_;  // held by compute()
  StreamStats stats_;         // outlives the stores, which count until they are gone
  std::unique_ptr<InnerGraph> inner_;
  std::vector<Reservation> reserved_;  // for what follows
  Reservation slots_reserved_;         // in RAM
  Reservation pinned_reserved_;
  Reservation ring_reserved_;
  std::unique_ptr<RepackBuffer> repack_buffer_;
  PrefetchSwitch prefetch_switch_;
  ggml_backend_buffer_ptr slot_memory_;  // of the store's slots, where a GPU copies from them
  std::unique_ptr<ExpertStore> expert_store_;
  std::unique_ptr<RemoteExperts> workers_;
  std::unique_ptr<ExpertExecutor> experts_;
  GpuUse gpu_use_;                             // of all layers, whichever GPU has them
  ggml_backend_dev_t beside_ = nullptr;        // that has layers of its own
  std::mutex gpu_calls_;                       // of the inner backends of the following; locked before mutex_
  std::unique_ptr<BlockPredictor> predictor_;  // of the processors' layers, and where no GPU is asked itself
  // In the place of experts_, or behind it, where the processors have the first layers. They take their turns with the
  // store in RAM: see turn_to().
  std::vector<std::unique_ptr<GpuMember>> gpus_;
  std::optional<size_t> turn_;          // none: the processors
  GpuLayerRange host_ = {0, 0};         // the processors' beside GPUs
  std::string asked_pattern_;           // of the names of what tells their routers' choices
  std::string host_pattern_;            // of the names of their streamed tensors, and of tables
  std::vector<LayerExpert> hot_below_;  // to be warmed in RAM, once the GPUs have theirs
  size_t warmed_gpus_ = 0;
  bool has_computed_ = false;
  std::unique_ptr<DenseStore> dense_store_;
  std::unique_ptr<DenseExecutor> dense_;
  std::unique_ptr<RemoteFfn> ffn_workers_;
  std::vector<std::unique_ptr<TableRows>> tables_;  // as in the layout
  std::unique_ptr<TableExecutor> lookups_;
  std::unique_ptr<RoutingRecorder> recorder_;
  uint64_t recalled_tokens_ = 0;
  std::vector<LayerExpert> recalled_hot_;  // for workers: what it used, most used first
  ExpertPlacement placed_;
  uint32_t placed_rows_ = 0;  // of a pass, that buffers were allocated for
  ReadAhead read_ahead_ = ReadAhead::kAuto;
  Error error_{ErrorCode::kInternal, "llama.cpp could not compute"};
  bool copy_failed_ = false;  // in this pass; error_ tells why

  mutable std::mutex resize_mutex_;  // guards what follows, and the caches' reservations; locked after mutex_
  std::condition_variable resize_made_;
  Resize resize_;                          // that is asked for
  std::atomic<bool> resize_asked_{false};  // and not yet made; read without the lock too
  Status resized_;                         // how that ended
  uint32_t last_slots_ = 0;                // of who resizes

  std::thread warm_thread_;
  std::atomic<bool> stop_warming_{false};
  std::atomic<bool> closing_{false};
};

}  // namespace hypura
