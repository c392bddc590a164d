// What a placement is chosen for: the sizes of one model under one set of options, and how fast this machine reads and
// computes. Plain numbers; plan/placement_problem.h fills them in.
//
// All sizes are bytes, all times seconds.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "hypura/placement.h"
#include "placement/gpu_problem.h"
#include "placement/problem_parts.h"
#include "placement/worker_part.h"

namespace hypura {

// Scattered reads of the size in question, many at a time; `latency` is what the first of them takes besides.
struct DiskSpeed {
  double bytes_per_second = 1;
  double latency = 0;
};

// What computing and reading at once take from each other: so much longer computing takes for each second of reading
// beside it, and reading for each second of computing. Seconds.
struct Contention {
  double computing = 0;
  double reading = 0;
};

// A dense matrix that can be streamed: every pass uses it whole.
struct DenseWeight {
  uint64_t bytes = 0;       // on disk
  uint64_t slot_bytes = 0;  // in the ring or pinned
  PassSeconds seconds;
  PassSeconds repacked = {};  // the same in passes of at least `repacked_from` tokens
  double repacked_from = std::numeric_limits<double>::infinity();
  int part = -1;  // the number of the feed-forward part that it belongs to, where workers may compute these
};

// MoE layers that are alike.
struct ExpertGroup {
  uint32_t layers = 0;
  uint32_t experts = 0;            // of each layer
  uint32_t used = 0;               // of these, by a token
  uint64_t bytes = 0;              // of one expert on disk, all its matrices
  PassSeconds seconds;             // of one expert, in tokens that chose it
  std::vector<double> popularity;  // see popularity.h; `experts` numbers
  PassSeconds repacked;            // the same where at least `repacked_from` tokens chose it
  double repacked_from = std::numeric_limits<double>::infinity();
  double issuing = 0;  // that issuing the reads of one expert takes of the computing thread
  // Of what a token uses, what it misses in so many slots through which all that is used passes: `experts` + 1 numbers;
  // empty: unknown.
  std::vector<double> passing_misses = {};
};

// Tables of which a pass uses a row for each of its tokens.
struct TableGroup {
  uint64_t bytes = 0;         // on disk
  uint64_t buffer_bytes = 0;  // of memory that looking rows up takes, where they do not stay
  double token_bytes = 0;     // that a token reads then
  // The same of a table that is the output matrix too, and so one of the dense weights, where these are streamed.
  uint64_t output_buffer_bytes = 0;
  double output_token_bytes = 0;
  bool may_stay = true;
  bool may_stream = false;
};

struct PlacementProblem {
  uint64_t budget = 0;
  uint64_t fixed = 0;        // weights that are never streamed
  uint64_t unused = 0;       // weights that llama.cpp's own loader reads though nothing uses them
  uint64_t growth = 0;       // bytes that a resident model takes beyond its file, in layouts of the processor's own
  uint64_t other = 0;        // what else the model needs: the vocabulary
  std::vector<KvChoice> kv;  // at least one
  std::vector<UbatchChoice> ubatch;  // at least one

  std::vector<DenseWeight> dense;    // in the order of use
  std::vector<ExpertGroup> experts;  // empty: no MoE
  std::vector<size_t> layer_groups;  // by MoE layer, ascending: its group in `experts`
  uint64_t expert_bytes = 0;         // of all experts on disk
  uint64_t slot_stride = 0;          // one expert's slot
  TableGroup tables;
  uint64_t worker_bytes = 0;  // messages to workers, where dense weights are streamed

  DiskSpeed expert_disk;  // for reads of an expert's matrices
  DiskSpeed dense_disk;   // for the ring's
  DiskSpeed table_disk;   // for rows of tables
  // The same reads with the disk at its best, where that is more than it sustains: the physical bound is by these.
  double best_expert_bytes_per_second = 0;
  double best_dense_bytes_per_second = 0;
  double dense_issuing = 0;  // that issuing the ring's reads takes of the computing thread, a byte
  uint64_t dense_ahead = 0;  // bytes that the ring has the disk work on at a time, at most
  Contention contention;
  PassSeconds rest;      // what is neither a dense weight here nor an expert: norms, attention, routers, the output
  PassSeconds resident;  // a whole pass with everything resident, as llama.cpp's own loader lays weights out
  double computing_lasts = 1;  // the share of the processors' best speed that computing is reckoned with
  double attention = 0;        // what a token's pass takes besides for each token that is in the context already
  double block_seconds = 0;    // what streaming costs a MoE layer besides reading and computing

  bool reads_ahead = false;  // a token's experts of the next layer are predicted, and read while one layer is computed

  std::vector<Mode> modes;  // that may be chosen where the processors compute

  std::optional<GpuProblem> gpu;      // that may compute instead
  std::optional<GpuSplitPart> split;  // of a GPU that computes the last layers in any case

  // That are asked while decoding (placement/worker_cost.h). A placement does not depend on them.
  std::vector<WorkerPart> workers;

  // Set by hand, for measurements: else the search finds them.
  std::optional<uint64_t> ring_ahead;  // bytes of the ring beyond those that it cannot do without
  std::optional<uint32_t> cached;      // experts, as many as fit up to this

  // The choices that a placement made, of the GPU's where it computes.
  const KvChoice& kv_choice(const Placement& placement) const;
  const UbatchChoice& ubatch_choice(const Placement& placement) const;

  uint64_t dense_bytes() const;  // of `dense`, on disk
  uint64_t dense_slot_bytes() const;
  uint64_t largest_slot_bytes() const;
  uint32_t expert_slots() const;     // that would hold all experts
  uint32_t most_used() const;        // experts that a token uses in one layer, at most
  uint32_t slots_per_token() const;  // experts that a token uses, over all layers
};

}  // namespace hypura
