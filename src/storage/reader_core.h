// What the two readers share: the lock, the scheduler, and the Reader interface on top of them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>

#include "storage/open.h"
#include "storage/reader.h"
#include "storage/scheduler.h"

namespace hypura {

class ReaderCore : public Reader {
 public:
  ReadGroup submit(std::span<const ReadRequest> requests, Priority priority) final;
  bool finished(ReadGroup group) final;
  void promote(ReadGroup group) final;
  Status wait(ReadGroup group) final;
  void poll() final;
  void cancel(ReadGroup group) final;
  ReaderStats stats() const final;
  std::string description() const final;
  std::string notice() const final { return files_.notice; }

 protected:
  // `how` is the first half of description().
  ReaderCore(OpenFiles files, const ReaderOptions& options, std::string how);

  // Collects completions and gets queued chunks going, without blocking. The lock is held.
  virtual void advance() = 0;
  // Blocks until something may have changed that `group`, which has not ended, waits for; 0: that any does. The lock is
  // held, and let go meanwhile.
  virtual void block(std::unique_lock<std::mutex>& lock, ReadGroup group) = 0;

  // Cancels what is queued and waits for what is in flight. The first act of every destructor.
  void drain();

  // Whether copies are chosen by how fast they were, for which each read's end has to be noticed at once.
  bool has_mirrors() const { return !files_.speeds.empty(); }
  int fd(uint32_t source) const { return files_.files[source].fd.get(); }

  mutable std::mutex mutex_;
  std::condition_variable ended_;  // some group has ended, or (io_uring) the place of the waiting thread is free
  Scheduler scheduler_;            // guarded by mutex_

 private:
  const OpenFiles files_;
  const std::string how_;
  double wait_seconds_ = 0;  // guarded by mutex_
};

// The reader on io_uring, or null where the system does not give it (or does not have it). Takes `files` only on
// success.
std::unique_ptr<Reader> make_uring_reader(OpenFiles& files, const ReaderOptions& options);

// The reader on a pool of threads that call pread. Fails with kInternal when no thread can be started.
Result<std::unique_ptr<Reader>> make_thread_reader(OpenFiles files, const ReaderOptions& options);

}  // namespace hypura
