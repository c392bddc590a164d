// Continuous batching over one context: every pass carries the tokens of all jobs that run. docs/design/batching.md.
//
// The loop of all tokens, of one answer or many: prompts are evaluated, drafts made and verified, what was rejected of
// them cut away, the answers' sources given their logits. It has no thread and no queue: whoever drives it admits jobs,
// makes passes, and takes what ended. Not thread-safe: one thread at a time.
//
// Invariants:
// - A sequence of the KvCache is idle, or used by one job. Idle or not, it holds at most a whole context, and the model
//   has cells for that many for each: there is always a free cell.
// - A job that was admitted comes back from take_ended() exactly once, after all its pieces.
#pragma once

#include <cstdint>
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
};

class PassScheduler {
 public:
  // Without `drafting` nothing is drafted. All must outlive the object; the cache is the scheduler's alone while a job
  // runs.
  PassScheduler(PassModel& model, KvCache& cache, Drafting* drafting);
  ~PassScheduler();
  PassScheduler(const PassScheduler&) = delete;
  PassScheduler& operator=(const PassScheduler&) = delete;

  // Jobs that can be admitted now, and whether none runs.
  uint32_t idle_sequences() const { return cache_.idle(); }
  bool idle() const { return cache_.idle() == cache_.sequences(); }

  // Gives the job the sequence that has most of its prompt already. One must be idle.
  void admit(Job job);

  // Ends a job, if it runs (kCancelled). Its sequence keeps what it holds, as after every end.
  void cancel(uint64_t id);
  void cancel_all();

  // One pass for the answers that run, and one for each embedding; none where there are none.
  void pass();

  // The jobs that have ended since the last call.
  std::vector<JobEnd> take_ended() { return std::exchange(ended_, {}); }

  const PassCounts& counts() const { return counts_; }

 private:
  struct Run;

  uint32_t held(uint32_t id) const { return static_cast<uint32_t>(cache_.tokens(id).size()); }
  uint32_t pending(uint32_t id) const;
  std::vector<Rider> riders() const;
  void answer_pass();
  DraftedPass draft(const std::vector<Rider>& riders, const std::vector<uint32_t>& shares);
  std::vector<PassToken> pass_tokens(const std::vector<uint32_t>& shares) const;
  void hold(const std::vector<uint32_t>& shares, const Status& status);
  uint32_t verify(uint32_t id, size_t row);
  void take(uint32_t id, size_t row);
  bool add_token(uint32_t id, int32_t token);
  void embed_pass();
  Status embed_part(uint32_t id);
  void fail_sequence(uint32_t id, const Error& error);
  void end(uint32_t id, StopReason stop, std::optional<Error> error);
  void count_pass(size_t tokens);

  // By sequence:
  std::vector<std::unique_ptr<Run>> runs_;  // null: idle
  std::vector<Draft> drafts_;               // of the pass in work

  PassModel& model_;
  KvCache& cache_;
  Drafting* const drafting_;
  PassCounts counts_;
  std::vector<JobEnd> ended_;
};

}  // namespace hypura
