// The ggml devices that a worker offers to llama.cpp's RPC server: they speak remote/protocol.h, and compute for a peer
// what that allows.
//
// Nothing of a peer's is computed: a graph is checked (block_plan.h), and one of our own is made of what it says, for
// the rows that are asked for. What is refused or fails costs a line in the log and is told in the reply, never the
// process.
//
// What is relied on upstream (ggml-rpc of llama.cpp v0.5.0), held by load/worker_server_test.cpp: it serves one client
// at a time on one thread, calls a device only through the interfaces that are set here, takes a failed computation for
// the end of the process (so none fails), and frees a client's buffers when it has gone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/expert_block.h"
#include "backend/streamed_weights.h"
#include "backend/worker/block_plan.h"
#include "backend/worker/layers_plan.h"
#include "backend/worker/peer_memory.h"
#include "backend/worker/worker_weights.h"
#include "remote/protocol.h"
#include "residency/layer_expert.h"
#include "storage/reader.h"

namespace hypura {

// Belongs to the thread of the RPC server.
class WorkerDevice final : private NamedTensors {
 public:
  // A connection that was refused so much ends: what it sends makes no sense.
  static constexpr uint32_t kMostRefusals = 16;

  // Computes with `weights`, whose caches are allocated; `names` are theirs. `facts` is what a verdict says but for
  // whether it accepts; most_pairs of it is how many rows the caches were made for, at most kMostPairs. All must
  // outlive the object. `room` is what `weights` have taken for dense ones that stay, and `slots` what they have of
  // experts; with whole layers both are divided anew, and become less by what peers have. Fails with kBudget.
  static Result<std::unique_ptr<WorkerDevice>> create(StreamedWeights& weights, const WorkerWeights& names,
                                                      const Reader& reader, const WorkerVerdict& facts, uint64_t room,
                                                      ExpertPlacement slots = {});

  // Fewest slots for experts with which a model is computed.
  static constexpr uint32_t kFewestSlots = 2;

  // Bytes that it takes for asks of at most `most_pairs` rows, of which a peer's memory is not.
  static uint64_t bytes_for(const std::vector<WorkerLayer>& layers, uint32_t most_pairs);

  // One for each layer, all alike; ggml-rpc keeps a graph for each.
  std::span<ggml_backend_dev_t> devices() { return devices_; }

  // A peer has connected: nothing is known of it. Its buffers are there until ggml-rpc frees them.
  void begin_connection();

  // Whether it may compute here.
  bool accepted() const { return accepted_; }

  // Whether whole layers are computed for it.
  bool whole_layers() const { return accepted_ && split_ == AskedSplit::kLayers; }

  // Bytes of memory that peers have here now.
  uint64_t peer_bytes() const { return memory_.bytes(); }

 private:
  static constexpr size_t kMostTensors = 3 * kMostNodes + 4;  // nodes, views and leaves of a block of ours

  friend struct WorkerBackends;  // the functions that ggml calls

  struct Backend {  // the parts of one device
    ggml_backend_device device{};
    ggml_backend backend{};
    std::optional<LayersPlan> plan;  // of the graph that the server has of it
    uint64_t plan_number = 0;        // of that graph
  };

  WorkerDevice(StreamedWeights& weights, const WorkerWeights& names, const Reader& reader, const WorkerVerdict& facts,
               uint64_t room, ExpertPlacement slots);

  void set(std::string_view name, std::span<std::byte> to, std::span<const std::byte> bytes) override;
  void get(std::string_view name, std::span<const std::byte> from, std::span<std::byte> bytes) override;
  void refuse(std::string what) override;
  bool may_have(uint64_t bytes) override;
  bool may_change_directly() override;

  void greet(std::span<const std::byte> bytes);
  std::string layers_refusal(const WorkerHello& hello) const;
  Result<std::vector<LayerExpert>> read_experts(std::span<const std::byte> bytes);
  void warm(std::span<const std::byte> bytes);
  void keep(std::span<const LayerExpert> wanted);
  void keep_layers(std::span<const std::byte> bytes);
  void keep_items();
  bool is_here(uint32_t layer) const;
  void read_ahead(std::span<const std::byte> bytes);
  void compute(ggml_cgraph* graph, Backend& backend);
  Result<Reply> answer(const BlockPlan& plan, const Ask& ask);
  Status read_choices(const BlockPlan& plan, const Ask& ask);
  ExpertBlock make_block(const BlockPlan& plan, const Ask& ask, bool whole);
  Status compute_block(const BlockPlan& plan, const Ask& ask);
  Status compute_dense(const BlockPlan& plan, const Ask& ask);
  void compute_layers(ggml_cgraph* graph, Backend& backend);
  Result<LayersPlan*> plan_of(ggml_cgraph* graph, Backend& backend);
  void forget_plans();
  bool take_room(uint64_t bytes);
  bool divide(uint64_t bytes);
  bool take_slots(const ExpertPlacement& slots, uint64_t room);
  void warm_layers();
  ExpertPlacement slots_for_layers(uint64_t bytes) const;
  uint64_t least_for_experts() const { return has_experts() ? kFewestSlots * facts_.slot_bytes : 0; }
  bool has_experts() const { return !names_.layers().front().dense; }
  float* take_floats(int64_t count);
  void fail_with(const Error& error);

  StreamedWeights& weights_;
  const WorkerWeights& names_;
  const Reader& reader_;
  WorkerVerdict facts_;
  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<ggml_backend_dev_t> devices_;
  PeerMemory memory_;

  // Of the connection.
  bool accepted_ = false;
  std::string sentence_ = "it said no hello";  // why it is not
  std::string reason_;                         // why something was last refused or failed
  uint32_t refusals_ = 0;
  AskedSplit split_ = AskedSplit::kParts;
  LayersStatus layers_status_;

  // Of whole layers.
  uint64_t most_room_;               // for what stays, where peers have no memory
  uint64_t room_;                    // that there is
  ExpertPlacement most_slots_;       // of experts, likewise
  uint64_t taken_ = 0;               // by room and slots, of a model with experts
  bool divided_ = false;             // these are not those of before
  bool may_compute_ = true;          // there are slots
  std::vector<bool> kept_layers_;    // by the model's numbers
  std::vector<uint32_t> kept_;       // items that were said to stay
  uint64_t plan_numbers_ = 0;        // that were given
  uint64_t freed_before_plans_ = 0;  // PeerMemory::freed() when the plans were made

  // Of the ask in work; members so that their memory is reused.
  MemoryRegion rows_;  // of all nodes, of an ask that is computed whole or of a dense layer
  uint64_t floats_used_ = 0;
  std::vector<std::byte> tensor_memory_;
  ggml_context_ptr context_;  // of these
  std::vector<AskedPair> pairs_;
  std::vector<int32_t> ids_;
  std::vector<uint32_t> input_rows_;  // by pair
  std::vector<LayerExpert> ahead_;    // that will be asked for after the next ask
};

}  // namespace hypura
