// One worker, for as long as a model is open: connects, and connects again after a loss, in the background.
//
// A session is used by the thread that computes, and made by a thread of the link's own, which does nothing else.
// Each event is one line in the log, unless its options want none. Nothing here ends the process, nor makes the one
// that computes wait for a worker that is not there.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "remote/worker_session.h"

namespace hypura {

struct WorkerLinkOptions {
  std::chrono::milliseconds connect{5000};      // to connect and greet, at most
  std::chrono::milliseconds first_retry{1000};  // after a loss; then twice as long each time
  // An attempt costs nearly nothing, and for as long as none is made a worker that is back is not asked.
  std::chrono::milliseconds longest_retry{2000};
  bool tells = true;  // of events, in the log
};

// How long to wait before the next attempt.
class RetryPauses {
 public:
  explicit RetryPauses(const WorkerLinkOptions& options) : options_(options), next_(options.first_retry) {}

  // After an attempt that went well.
  void begin_anew() { next_ = options_.first_retry; }

  std::chrono::milliseconds next() { return std::exchange(next_, std::min(2 * next_, options_.longest_retry)); }

 private:
  WorkerLinkOptions options_;
  std::chrono::milliseconds next_;
};

class WorkerLink {
 public:
  // Begins to connect. Fails with kInternal when the system has no thread or file descriptor left.
  static Result<std::unique_ptr<WorkerLink>> start(const WorkerAddress& address, const WorkerHello& hello,
                                                   const WorkerRoom& room, const WorkerLinkOptions& options = {});

  ~WorkerLink();  // ends the connection
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  const std::string& name() const { return name_; }

  // Waits until the first attempt to connect has ended, well or badly.
  void wait_until_tried();

  // What was found, before the thread that computes has taken it over. Any thread.
  FoundWorker found();

  // Why the last attempt ended badly; empty where it did not. Any thread.
  std::string failure();

  // --- the thread that computes ---

  // Takes over a session that was made since the last call. Whether there was one.
  bool take_new();

  // The session in use; nullptr: there is none.
  WorkerSession* session() { return session_ ? &*session_ : nullptr; }

  // The session in use is of no use any more; connects again. `why` goes into the log, with what becomes of its rows.
  void lose(const std::string& why);

 private:
  WorkerLink(const WorkerAddress& address, const WorkerHello& hello, const WorkerRoom& room,
             const WorkerLinkOptions& options, InterruptPipe interrupt);

  void run();
  void offer(WorkerSession session, std::unique_lock<std::mutex>& lock);
  void note_failure(const std::string& why);

  const WorkerAddress address_;
  const std::string name_;
  const WorkerHello hello_;
  const WorkerRoom room_;
  const WorkerLinkOptions options_;
  const InterruptPipe interrupt_;

  std::optional<WorkerSession> session_;  // of the thread that computes
  std::atomic<bool> has_offer_{false};

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<WorkerSession> offer_;
  bool lost_ = false;
  bool tried_ = false;
  bool stopping_ = false;

  std::string last_failure_;

  bool joined_before_ = false;  // of the link's thread
  std::thread thread_;
};

// Connects to all workers at once, and waits until each was tried; nullptr for those that are `left_out`, by worker.
// Fails as WorkerLink::start.
Result<std::vector<std::unique_ptr<WorkerLink>>> start_links(std::span<const WorkerAddress> workers,
                                                             const WorkerHello& hello, const WorkerRoom& room,
                                                             const WorkerLinkOptions& options,
                                                             const std::vector<bool>& left_out = {});

// Connects to all workers at once, measures, and leaves them. Fails as WorkerLink::start.
Result<std::vector<FoundWorker>> find_workers(std::span<const WorkerAddress> workers, const WorkerHello& hello,
                                              const WorkerRoom& room, const WorkerLinkOptions& options = {});

}  // namespace hypura
