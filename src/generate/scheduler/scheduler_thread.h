// A queue of jobs before a PassScheduler, and the thread that runs it: it owns the model and all that happens in a
// pass; the other threads leave what they want under a mutex.
//
// Invariant: a job is in the queue, or in the scheduler, or has ended: its sink's on_end, or embed()'s return, comes
// exactly once and last.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "generate/scheduler/pass_scheduler.h"
#include "hypura/generator.h"

namespace hypura {

class SchedulerThread {
 public:
  // Starts the thread. At most `parallel` jobs run, and `queue` wait besides. The thread alone uses the first three,
  // which must outlive the object. `after_pass` is called on it after each pass: whether nothing runs now.
  SchedulerThread(PassModel& model, KvCache& cache, Drafting* drafting, uint32_t parallel, uint32_t queue,
                  std::function<void(bool idle)> after_pass = {});

  // Ends all jobs (kCancelled).
  ~SchedulerThread();
  SchedulerThread(const SchedulerThread&) = delete;
  SchedulerThread& operator=(const SchedulerThread&) = delete;

  // Fails with kBusy when a job would be refused now. Any thread, as all that follow.
  Status check_queue() const;

  // Queues an answer and gives its id, or fails with kBusy.
  Result<uint64_t> submit(Job job);

  // Ends an answer before the next pass.
  void cancel(uint64_t id);

  // Queues an embedding and waits for it. Not from a sink.
  Result<Embedding> embed(Job job);

  // All but what the engine counts.
  GeneratorStats stats() const;

 private:
  Status room_locked() const;              // the mutex is held
  Result<uint64_t> queue_locked(Job job);  // the mutex is held

  // On the thread:
  void work();
  bool take_jobs();
  void keep_while_idle();
  bool nothing_to_do_locked() const;  // the mutex is held
  void tell_ended();
  void tell(JobEnd ended);

  KvCache& cache_;           // the thread's
  PassScheduler scheduler_;  // the thread's
  const std::function<void(bool)> after_pass_;
  const uint32_t queue_limit_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<Job> queue_;
  std::map<uint64_t, std::promise<Result<Embedding>>> embeddings_;  // by job: who waits for it
  std::vector<uint64_t> cancelled_;
  bool closing_ = false;
  uint64_t last_id_ = 0;
  GeneratorStats stats_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace hypura
