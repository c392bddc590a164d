// Continuous batching over one context: every pass carries the tokens of all jobs that run. docs/design/batching.md.
//
// The loop of all tokens, of one answer or many: prompts are evaluated, drafts made and verified, what was rejected of
// them cut away, the answers' sources given their logits. It has no thread and no queue: whoever drives it admits jobs,
// makes passes, and takes what ended. Not thread-safe: one thread at a time.
//
// A job that was admitted has a sequence, or waits for one: as long as another evaluates a beginning that both have;
// until there are cells for it; or because it was parked, when an older one needed its cells.
//
// Invariants:
// - A sequence of the KvCache is idle, or used by one job, which then holds no more than its limit. The cache has cells
//   for that many, so the oldest job that has a sequence can always go on.
// - A pass has no more tokens than there are free cells.
// - A job that was admitted comes back from take_ended() exactly once, after all its pieces.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "draft/drafting.h"
#include "generate/scheduler/job.h"
#include "generate/scheduler/pass_model.h"
#include "llama/kv_cache.h"

namespace hypura {

// Sums since the scheduler was made.
struct PassCounts {
  uint64_t passes = 0;
  uint64_t tokens = 0;  // of all passes
  uint64_t parked = 0;  // times that a job lost its sequence to an older one
};

class PassScheduler {
 public:
  // Without `drafting` nothing is drafted. At most `parallel` jobs at once, fewer where the cache has fewer sequences.
  // All must outlive the object; the cache is the scheduler's alone while a job runs.
  PassScheduler(PassModel& model, KvCache& cache, Drafting* drafting, uint32_t parallel = UINT32_MAX);
  ~PassScheduler();
  PassScheduler(const PassScheduler&) = delete;
  PassScheduler& operator=(const PassScheduler&) = delete;

  // Jobs that can be admitted now, and whether there are none.
  uint32_t free_places() const { return parallel_ - running() - waiting(); }
  bool idle() const { return running() + waiting() == 0; }
  // Of those that were admitted, the ones without a sequence.
  uint32_t waiting() const { return static_cast<uint32_t>(waiting_.size()); }

  // Takes a job, of which there must be a free place. It gets the sequence that has most of its prompt already, when
  // there are cells for it, and nobody evaluates more of its beginning.
  void admit(Job job);

  // Ends a job, if it runs or waits (kCancelled). Its sequence keeps what it holds, as after every end.
  void cancel(uint64_t id);
  void cancel_all();

  // One pass for the answers that run, and one for each embedding; none where there are none. Before it some of what is
  // kept beyond the context is put in, of jobs that wait for that: for as long as a pass takes where others run, so
  // that fetching and passes share the time, and the disk reads on during the pass.
  void pass();

  // The jobs that have ended since the last call.
  std::vector<JobEnd> take_ended() { return std::exchange(ended_, {}); }

  const PassCounts& counts() const { return counts_; }

 private:
  struct Run;

  // Whether a job that waits gets a sequence now.
  enum class Placing { kNow, kWaitsForBeginning, kWaitsForCells };

  uint32_t held(uint32_t id) const { return static_cast<uint32_t>(cache_.tokens(id).size()); }
  uint32_t pending(uint32_t id) const;
  uint32_t running() const;

  // pass_places.cpp: who has a sequence.
  void place_waiting();
  Placing placing_of(const Run& run) const;
  uint32_t evaluated_by_others(const Run& run) const;
  void place(std::unique_ptr<Run> run);
  uint32_t youngest() const;
  void park(uint32_t id);
  bool park_for(uint32_t cells);
  bool find_no_slot();
  void fetch_some();

  std::vector<Rider> riders() const;
  std::vector<uint32_t> share_cells(std::vector<Rider>& riders);
  void answer_pass();
  DraftedPass draft(const std::vector<Rider>& riders, const std::vector<uint32_t>& shares);
  std::vector<PassToken> pass_tokens(const std::vector<uint32_t>& shares) const;
  bool hold(const std::vector<uint32_t>& shares, const Status& status);
  uint32_t verify(uint32_t id, size_t row);
  void take(uint32_t id, size_t row);
  bool add_token(uint32_t id, int32_t token);
  void embed_pass();
  Status embed_part(uint32_t id);
  void fail_sequence(uint32_t id, const Error& error);
  void end(uint32_t id, StopReason stop, std::optional<Error> error);
  void tell_end(std::unique_ptr<Run> run, StopReason stop, std::optional<Error> error);
  void count_pass(size_t tokens);

  const uint32_t parallel_;
  // By sequence:
  std::vector<std::unique_ptr<Run>> runs_;  // null: idle
  std::vector<Draft> drafts_;               // of the pass in work

  std::deque<std::unique_ptr<Run>> waiting_;  // the oldest first
  uint64_t last_order_ = 0;
  double last_pass_seconds_ = 0;
  bool cells_are_short_ = false;  // llama.cpp found none for a pass: nobody is placed beside others until one has ended

  PassModel& model_;
  KvCache& cache_;
  Drafting* const drafting_;
  PassCounts counts_;
  std::vector<JobEnd> ended_;
};

}  // namespace hypura
