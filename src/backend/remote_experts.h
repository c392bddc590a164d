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

#include "backend/asking_manner.h"
#include "backend/leased_experts.h"
#include "backend/stream_layout.h"
#include "backend/worker_stats.h"
#include "remote/worker_link.h"
#include "residency/machine_share.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe, save stats(): the owner serialises.
class RemoteExperts {
 public:
  using Pairs = LeasedExperts::Pairs;

  // A worker has that many times as long as is expected of it to answer, and at least its AskingManner's patience;
  // counted from when this machine has computed its own share.
  static constexpr double kPatience = 20;

  // Bytes that are taken for each worker.
  static uint64_t bytes_for(const StreamLayout& layout);

  // Begins to connect to the workers, and waits for each until it has joined or failed to. `layout` must outlive the
  // object. Fails with kInternal when the system has no threads left.
  static Result<std::unique_ptr<RemoteExperts>> create(const StreamLayout& layout,
                                                       std::span<const WorkerAddress> workers, const WorkerHello& hello,
                                                       const AskingManner& manner);

  RemoteExperts(const RemoteExperts&) = delete;
  RemoteExperts& operator=(const RemoteExperts&) = delete;

  // Whether a worker is there that could be asked. Takes over those that have come.
  bool any();

  // The block's tokens chose the experts `wanted`, ascending, by `pairs`; it has_worker_shape(). Asks workers for some
  // of them, and leaves those that this machine computes in `own`. False when these are all, and nobody was asked; else
  // collect() must follow, whatever becomes of this machine's share.
  bool ask(const ExpertBlock& block, Pairs pairs, std::span<const uint32_t> wanted, const ExpertStore& store,
           std::vector<uint32_t>& own);

  // This machine's share, that ask() left, took so long.
  void note_own(double seconds);

  // Waits for what was asked for, and puts the rows in their places. Leaves in `lost`, ascending, the experts that must
  // be computed here after all.
  void collect(const ExpertBlock& block, Pairs pairs, std::vector<uint32_t>& lost);

  // One for each worker, in the order that they were given. Any thread.
  const std::deque<WorkerStats>& stats() const { return stats_; }

 private:
  struct Worker {
    std::unique_ptr<WorkerLink> link;
    std::vector<uint64_t> introduced;  // by layer: worker_shape() of the block that it was sent; 0: none
    std::vector<uint32_t> experts;     // that it was asked for now
    std::vector<uint32_t> pairs;       // of these, in the order of the ask
    std::chrono::steady_clock::time_point asked;
    uint64_t sent = 0;  // bytes of the session that are counted
    uint64_t received = 0;
  };

  RemoteExperts(const StreamLayout& layout, size_t workers, const AskingManner& manner);

  bool fits(const ExpertBlock& block) const;
  void introduce(const ExpertBlock& block);
  void learn_map(size_t worker, const ExpertBlock& block);
  bool post(size_t worker, const ExpertBlock& block, Pairs pairs);
  bool take(size_t worker, const ExpertBlock& block);
  void scatter(const Worker& worker, const ExpertBlock& block, std::span<const std::byte> rows) const;
  void note(size_t worker, const Reply& reply, bool waited);
  MachineSpeed assumed_speed(double visit, double disk) const;
  void lose(size_t worker, const std::string& why);
  void count_bytes(size_t worker);

  const StreamLayout& layout_;
  const AskingManner manner_;
  MachineShare share_;
  std::vector<Worker> workers_;
  std::deque<WorkerStats> stats_;
  std::vector<WantedExpert> wanted_;  // of the block in work, as the following
  std::vector<int32_t> row_of_;       // by token: its row in an ask; -1: none
};

}  // namespace hypura
