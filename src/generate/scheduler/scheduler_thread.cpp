#include "generate/scheduler/scheduler_thread.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "support/elapsed.h"
#include "support/fail.h"

namespace hypura {

namespace {

// The end of a job that never began, since the model is being closed or nobody wants it any more.
JobEnd unstarted(Job job) {
  if (job.embed) {
    return {job.id, nullptr, Result<Embedding>(propagate(closing_error()))};
  }
  AnswerEnd end;
  end.stop = StopReason::kCancelled;
  end.queued_seconds = seconds_since(job.submitted);
  return {job.id, std::move(job.sink), std::move(end)};
}

}  // namespace

SchedulerThread::SchedulerThread(PassModel& model, KvCache& cache, Drafting* drafting, uint32_t parallel,
                                 uint32_t queue, std::function<void(bool)> after_pass)
    : cache_(cache),
      scheduler_(model, cache, drafting, parallel),
      after_pass_(std::move(after_pass)),
      queue_limit_(queue) {
  stats_.parallel = scheduler_.free_places();
  stats_.context_size = cache.cells();
  thread_ = std::thread([this] { work(); });
}

SchedulerThread::~SchedulerThread() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Status SchedulerThread::room_locked() const {
  if (closing_) {
    return propagate(closing_error());
  }
  if (uint64_t{queue_.size()} + stats_.running >= uint64_t{queue_limit_} + stats_.parallel) {
    return fail(ErrorCode::kBusy, "server busy, please try again.  maximum pending requests exceeded");
  }
  return {};
}

Status SchedulerThread::check_queue() const {
  const std::lock_guard lock(mutex_);
  return room_locked();
}

Result<uint64_t> SchedulerThread::queue_locked(Job job) {
  if (Status status = room_locked(); !status) {
    return propagate(status.error());
  }
  job.submitted = Clock::now();
  job.id = ++last_id_;
  queue_.push_back(std::move(job));
  stats_.queued = static_cast<uint32_t>(queue_.size());
  wake_.notify_one();
  return last_id_;
}

Result<uint64_t> SchedulerThread::submit(Job job) {
  const std::lock_guard lock(mutex_);
  return queue_locked(std::move(job));
}

void SchedulerThread::cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  wake_.notify_one();
}

Result<Embedding> SchedulerThread::embed(Job job) {
  std::future<Result<Embedding>> done;
  {
    const std::lock_guard lock(mutex_);
    const auto id = queue_locked(std::move(job));
    if (!id) {
      return propagate(id.error());
    }
    done = embeddings_[*id].get_future();
  }
  return done.get();
}

GeneratorStats SchedulerThread::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void SchedulerThread::work() {
  while (take_jobs()) {
    scheduler_.pass();
    tell_ended();
    if (after_pass_) {
      after_pass_(scheduler_.idle());
    }
  }
  scheduler_.cancel_all();
  tell_ended();
  cache_.keep_rest();
  std::deque<Job> rest;
  {
    const std::lock_guard lock(mutex_);
    rest.swap(queue_);
    stats_.queued = 0;
  }
  for (Job& job : rest) {
    tell(unstarted(std::move(job)));
  }
}

bool SchedulerThread::nothing_to_do_locked() const {
  return !closing_ && queue_.empty() && cancelled_.empty() && scheduler_.idle();
}

// Keeps what idle sequences hold beyond the context, entry by entry: a job waits for one at most.
void SchedulerThread::keep_while_idle() {
  constexpr std::chrono::milliseconds kForRoom(50);
  std::unique_lock lock(mutex_);
  while (nothing_to_do_locked()) {
    lock.unlock();
    const KvKeeper::Kept kept = cache_.keep_some(false);
    lock.lock();
    if (kept == KvKeeper::Kept::kAll) {
      return;
    }
    if (kept == KvKeeper::Kept::kLater) {
      wake_.wait_for(lock, kForRoom, [&] { return !nothing_to_do_locked(); });
    }
  }
}

// Sleeps until there is something to do. False when all is to end. Ends what was cancelled, queued or running, and
// admits as many others as there are free places.
bool SchedulerThread::take_jobs() {
  keep_while_idle();
  std::vector<uint64_t> ids;
  std::vector<Job> gone;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return !nothing_to_do_locked(); });
    if (closing_) {
      return false;
    }
    ids.swap(cancelled_);
    const auto wanted = [&](const Job& job) { return std::find(ids.begin(), ids.end(), job.id) == ids.end(); };
    const auto rest = std::stable_partition(queue_.begin(), queue_.end(), wanted);
    std::move(rest, queue_.end(), std::back_inserter(gone));
    queue_.erase(rest, queue_.end());
  }
  if (!ids.empty()) {
    for (const uint64_t id : ids) {
      scheduler_.cancel(id);
    }
    tell_ended();
  }
  std::vector<Job> admitted;
  {
    const std::lock_guard lock(mutex_);
    for (uint32_t free = scheduler_.free_places(); free > 0 && !queue_.empty(); --free) {
      admitted.push_back(std::move(queue_.front()));
      queue_.pop_front();
      ++stats_.running;
    }
    stats_.queued = static_cast<uint32_t>(queue_.size());
  }
  for (Job& job : gone) {
    tell(unstarted(std::move(job)));
  }
  for (Job& job : admitted) {
    scheduler_.admit(std::move(job));
  }
  return true;
}

void SchedulerThread::tell_ended() {
  std::vector<JobEnd> ended = scheduler_.take_ended();
  {
    const std::lock_guard lock(mutex_);
    stats_.passes = scheduler_.counts().passes;
    stats_.batched_tokens = scheduler_.counts().tokens;
    stats_.parked = scheduler_.counts().parked;
    stats_.context_used = cache_.used_cells();
    stats_.context_shared = cache_.shared_tokens();
    stats_.running = stats_.parallel - scheduler_.free_places();
    stats_.waiting = scheduler_.waiting();
  }
  for (JobEnd& it : ended) {
    tell(std::move(it));
  }
}

void SchedulerThread::tell(JobEnd ended) {
  if (auto* embedding = std::get_if<Result<Embedding>>(&ended.outcome)) {
    std::unique_lock lock(mutex_);
    auto waiting = embeddings_.extract(ended.id);
    lock.unlock();
    waiting.mapped().set_value(std::move(*embedding));
    return;
  }
  AnswerEnd& end = std::get<AnswerEnd>(ended.outcome);
  {
    const std::lock_guard lock(mutex_);
    ++stats_.answers;
    stats_.cancelled += end.stop == StopReason::kCancelled ? 1 : 0;
    stats_.prompt_tokens += end.prompt_tokens;
    stats_.cached_tokens += end.cached_prompt_tokens;
  }
  ended.sink->on_end(std::move(end));
}

}  // namespace hypura
