// The feed-forward parts of dense layers that workers compute in the place of this machine, each whole on one of them.
//
// All rows of a pass are computed by one machine, from the same numbers by the same kernels as anywhere: the bits are
// those of one machine, whoever computes what. So what a lost worker was asked for is computed here, and nothing else
// happens.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/asking_manner.h"
#include "backend/ffn_block.h"
#include "backend/stream_layout.h"
#include "backend/worker_layers.h"
#include "backend/worker_stats.h"
#include "remote/worker_link.h"

namespace hypura {

// Not thread-safe, save stats(): the owner serialises.
class RemoteFfn {
 public:
  // A worker has that many times as long as asking, and reading the layer from its disk, are expected to take, and at
  // least AskingManner::patience.
  static constexpr double kPatience = 20;

  // What it is to know of this machine.
  struct Here {
    std::function<bool(uint32_t item)> pinned;  // of StreamLayout::dense: whether it is in memory now
    double bytes_per_second = 0;                // of its reads; 0: not known
    AskingManner manner;
  };

  // Bytes that are taken for each worker.
  static uint64_t bytes_for(const StreamLayout& layout);

  // Begins to connect to the workers, and waits for each until it has joined or failed to. `layout` must outlive the
  // object. Fails with kInternal when the system has no threads left.
  static Result<std::unique_ptr<RemoteFfn>> create(const StreamLayout& layout, std::span<const WorkerAddress> workers,
                                                   const WorkerHello& hello, Here here);

  RemoteFfn(const RemoteFfn&) = delete;
  RemoteFfn& operator=(const RemoteFfn&) = delete;

  std::span<const WorkerLayer> layers() const { return layers_; }

  // What was found of each, in their order.
  std::vector<FoundWorker> found();

  // It is not asked any more: its connection ends, and others may use it.
  void dismiss(size_t worker);

  // Whether some layer is a worker's now. Takes over workers that have come, and divides the layers anew.
  bool any();

  // What is in this machine's memory has changed.
  void divide_anew() { is_divided_ = false; }

  // Whether a worker is to compute that layer, and takes so many rows. After any().
  bool wants(uint32_t layer, int64_t rows) const;

  // Of a layer that a worker wants() the graph's nodes are no block, or the block: to say once if none ever is.
  void note_parsed(bool is_block);

  // A worker computes the block, which it wants(). False when it was lost, and this machine must.
  bool compute(const FfnBlock& block);

  // One for each worker, in the order that they were given; a feed-forward part counts as one expert. Any thread.
  const std::deque<WorkerStats>& stats() const { return stats_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Worker {
    std::unique_ptr<WorkerLink> link;  // null: dismissed, or left out
    bool refuses = false;              // it computes nothing in this session
    std::vector<uint64_t> introduced;  // by layer: ffn_shape() of the block that it was sent; 0: none
    std::vector<uint32_t> layers;      // that it was told to keep
    uint64_t sent = 0;                 // bytes of the session that are counted
    uint64_t received = 0;
  };

  RemoteFfn(const StreamLayout& layout, Here here);

  bool helps(const Worker& worker) const {
    return worker.link != nullptr && worker.link->session() != nullptr && !worker.refuses;
  }
  double ask_seconds(const WorkerSession& session) const;
  double disk_of(size_t worker) const;
  void divide();
  void tell_layers(size_t worker);
  bool introduce(size_t worker, const FfnBlock& block);
  bool post(size_t worker, const FfnBlock& block);
  bool take(size_t worker, const FfnBlock& block, Clock::time_point asked);
  Clock::time_point deadline(size_t worker, uint32_t layer) const;
  void lose(size_t worker, const std::string& why);
  void count_bytes(size_t worker);

  const StreamLayout& layout_;
  const Here here_;
  const std::vector<WorkerLayer> layers_;
  std::vector<Worker> workers_;
  std::deque<WorkerStats> stats_;
  std::vector<uint32_t> owners_;  // by layer: as share_layers() gives them
  bool is_divided_ = false;
  bool seen_block_ = false;
};

}  // namespace hypura
