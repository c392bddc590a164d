// The experts of a block that workers compute while this machine computes the others.
//
// A row is computed by one machine, from the same numbers by the same kernels as anywhere, and put where llama.cpp's
// own node sums rows up: the bits are those of one machine, whoever computes what. So what a lost worker was asked for
// is computed here, and nothing else happens.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "backend/asked_share.h"
#include "backend/asking_manner.h"
#include "backend/leased_experts.h"
#include "backend/stream_layout.h"
#include "backend/worker_stats.h"
#include "remote/worker_link.h"
#include "residency/layer_expert.h"
#include "residency/machine_share.h"
#include "tiers/expert_store.h"

namespace hypura {

// What a pass wants of a layer.
struct WantedBlock {
  const ExpertBlock& block;  // that has_worker_shape()
  LeasedExperts::Pairs pairs;
  std::span<const uint32_t> wanted;  // experts that some pair chose, ascending
  SharedWork work = SharedWork::kTokens;
  std::span<const ExpertPrediction> next;  // of a prompt: what the next layer will want, surest first
};

// Not thread-safe, save stats(): the owner serialises.
class RemoteExperts {
 public:
  using Pairs = LeasedExperts::Pairs;

  // A worker has that many times as long as is expected of it to answer, and at least its AskingManner's patience;
  // counted from when this machine has computed its own share.
  static constexpr double kPatience = 20;

  // Of what an ask holds, so much is asked for ahead: more may have chosen these experts than was thought.
  static constexpr double kSureOfAsk = 0.75;

  // Bytes that are taken for each worker.
  static uint64_t bytes_for(const StreamLayout& layout);

  // Begins to connect to the workers, and waits for each until it has joined or failed to. `layout` must outlive the
  // object. Fails with kInternal when the system has no threads left.
  static Result<std::unique_ptr<RemoteExperts>> create(const StreamLayout& layout,
                                                       std::span<const WorkerAddress> workers, const WorkerHello& hello,
                                                       const AskingManner& manner);

  RemoteExperts(const RemoteExperts&) = delete;
  RemoteExperts& operator=(const RemoteExperts&) = delete;

  // What was found of each, in their order.
  std::vector<FoundWorker> found();

  // It is not asked any more: its connection ends, and others may use it.
  void dismiss(size_t worker);
  // From now on each worker that joins, or has, is told what it had better have in memory: of `hot`, what earlier runs
  // used, most used first, rather that of which this machine keeps none; it keeps `here` experts of each layer.
  void keep_warm(std::vector<LayerExpert> hot, std::vector<uint32_t> here);

  // Whether a worker is there that could be asked. Takes over those that have come.
  bool any();

  // Asks workers for some of what is wanted, and leaves the experts that this machine computes in `own`. False when
  // these are all, and nobody was asked; else collect() must follow, whatever becomes of this machine's share.
  bool ask(const WantedBlock& wanted, const ExpertStore& store, std::vector<uint32_t>& own);

  // Where ask() asked somebody: what this machine is to read ahead for the next layer, surest first.
  std::span<const ExpertPrediction> own_next() const { return own_next_; }

  // The same for the first layer, before it is asked for: of what a prompt will want there, making so many choices.
  std::span<const ExpertPrediction> own_of_first(std::span<const ExpertPrediction> likely, size_t choices,
                                                 const ExpertStore& store);

  // Puts rows that have come in their places, and lets others come, without waiting. The block's inputs are not looked
  // at any more.
  void advance(const ExpertBlock& block);

  // This machine's share, that ask() left, took so long, `waited` of which for reads.
  void note_own(double seconds, double waited);

  // Waits for what was asked for, and puts the rows in their places. Leaves in `lost`, ascending, the experts that must
  // be computed here after all.
  void collect(const ExpertBlock& block, Pairs pairs, std::vector<uint32_t>& lost);

  // One for each worker, in the order that they were given. Any thread.
  const std::deque<WorkerStats>& stats() const { return stats_; }

 private:
  struct Worker {
    std::unique_ptr<WorkerLink> link;  // null: dismissed, or left out
    std::vector<uint64_t> introduced;  // by layer: worker_shape() of the block that it was sent; 0: none
    AskedShare share;                  // that it was asked for now
    std::vector<uint32_t> next;        // experts of next_layer_ that it is to read ahead, in their order
    std::chrono::steady_clock::time_point asked;
    Reply sum;          // of the replies to that
    uint64_t sent = 0;  // bytes of the session that are counted
    uint64_t received = 0;
  };

  RemoteExperts(const StreamLayout& layout, size_t workers, const AskingManner& manner);

  bool take_so_many(size_t tokens) const;
  void introduce(const ExpertBlock& block);
  void learn_map(size_t worker, const ExpertBlock& block);
  void share_next(const WantedBlock& wanted, const ExpertStore& store);
  void share_ahead(uint32_t layer, std::span<const ExpertPrediction> likely, size_t choices, const ExpertStore& store);
  bool post(size_t worker, const WantedBlock& wanted);
  void write_asks(Worker& worker, const WantedBlock& wanted, WorkerSession& session) const;
  void add_ahead(std::span<const uint32_t> experts, uint32_t layer, WorkerSession& session) const;
  bool take(size_t worker, const ExpertBlock& block, std::chrono::steady_clock::time_point deadline, bool waited);
  bool wait_for(size_t worker, const ExpertBlock& block);
  void note(size_t worker, bool waited);
  MachineSpeed assumed_speed(const WorkerSession& session) const;
  PromptSpeed assumed_prompt_speed(const MachineSpeed& speed, double way) const;
  void warm(size_t worker);
  void lose(size_t worker, const std::string& why);
  void count_bytes(size_t worker);

  const StreamLayout& layout_;
  const AskingManner manner_;
  MachineShare share_;
  std::vector<Worker> workers_;
  std::deque<WorkerStats> stats_;
  std::vector<LayerExpert> hot_;
  std::vector<uint32_t> here_;  // by layer: how many of these this machine keeps

  // Of the block in work.
  SharedWork work_ = SharedWork::kTokens;
  std::vector<WantedExpert> wanted_;
  std::vector<WantedExpert> likely_;
  uint32_t next_layer_ = 0;
  std::vector<ExpertPrediction> own_next_;
};

}  // namespace hypura
