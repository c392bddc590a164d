// Many answers over one context: every walk over the weights carries the tokens of all that run
// (docs/design/batching.md).
//
// One thread owns the model and all that happens in a pass; the other threads leave what they want under a mutex.
//
// Invariants:
// - A sequence is idle, or used by one run. Idle or not, it holds at most a whole context, and the model has room for
//   that many for each: there is always a free cell.
// - A job is in the queue, or in a run, or has ended: its sink's on_end, or its promise, comes exactly once and last.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "draft/drafting.h"
#include "generate/batcher_model.h"
#include "generate/sequence.h"
#include "hypura/serving.h"

namespace hypura {

class Batcher {
 public:
  // Starts the thread. At most `queue` jobs wait besides those that run. `drafting` (nullptr: nothing is drafted) is
  // used by that thread alone. Both must outlive the object.
  Batcher(BatchModel& model, uint32_t queue, Drafting* drafting = nullptr);

  // Ends all jobs (kCancelled).
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Fails with kBusy when a job would be refused now. Any thread, as all that follow.
  Status room() const;

  // Queues an answer and gives its id, or fails with kBusy.
  Result<uint64_t> submit(Job job);

  // Ends an answer before the next pass.
  void cancel(uint64_t id);

  // Queues an embedding and waits for it. Not from a sink.
  Result<Embedding> embed(Job job);

  // All but what the engine counts.
  ServingStats stats() const;

 private:
  Status room_locked() const;  // the mutex is held
  Result<uint64_t> enqueue(Job job);

  // On the thread:
  void work();
  bool next_jobs(std::vector<Job>& cancelled, std::vector<Job>& admitted);
  void end_cancelled(const std::vector<uint64_t>& ids);
  void admit(Job job);
  void pass();
  DraftedPass draft(const std::vector<Rider>& riders, const std::vector<uint32_t>& shares);
  std::vector<PassToken> pass_tokens(const std::vector<uint32_t>& shares) const;
  void hold(const std::vector<uint32_t>& shares, const Status& status);
  uint32_t verify(uint32_t id, size_t row);
  void take(Sequence& sequence, size_t row);
  bool add_token(Sequence& sequence, int32_t token);
  void embed_pass();
  Status embed_part(Sequence& sequence, uint32_t id);
  void give_up(uint32_t id, const Error& error);
  void end(Sequence& sequence, AnswerStop stop, std::optional<Error> error);
  void end_unstarted(Job job);
  void count(const AnswerEnd& end);
  void count_pass(size_t tokens);
  uint32_t idle() const;

  BatchModel& model_;
  Drafting* const drafting_;
  const uint32_t queue_limit_;
  std::vector<Sequence> sequences_;  // the thread's
  uint64_t passes_ = 0;              // the thread's
  std::vector<Draft> drafts_;        // the thread's: by sequence, of the pass in work

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<Job> queue_;
  std::vector<uint64_t> cancelled_;
  bool closing_ = false;
  uint64_t last_id_ = 0;
  ServingStats stats_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace hypura
