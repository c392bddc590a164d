#include "remote/worker_link.h"

#include <system_error>
#include <utility>

#include "support/fail.h"
#include "support/log.h"

namespace hypura {

WorkerLink::WorkerLink(const WorkerAddress& address, const WorkerHello& hello, const WorkerRoom& room,
                       const WorkerLinkOptions& options, InterruptPipe interrupt)
    : address_(address),
      name_(to_string(address)),
      hello_(hello),
      room_(room),
      options_(options),
      interrupt_(std::move(interrupt)) {}

Result<std::unique_ptr<WorkerLink>> WorkerLink::start(const WorkerAddress& address, const WorkerHello& hello,
                                                      const WorkerRoom& room, const WorkerLinkOptions& options) {
  auto interrupt = InterruptPipe::create();
  if (!interrupt) {
    return propagate(interrupt.error());
  }
  std::unique_ptr<WorkerLink> link(new WorkerLink(address, hello, room, options, std::move(*interrupt)));
  try {
    link->thread_ = std::thread([it = link.get()] { it->run(); });
  } catch (const std::system_error& error) {
    return fail(ErrorCode::kInternal, "cannot start a thread for worker {}: {}", link->name_, error.what());
  }
  return link;
}

WorkerLink::~WorkerLink() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  interrupt_.set();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void WorkerLink::wait_until_tried() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return tried_; });
}

FoundWorker WorkerLink::found() {
  const std::lock_guard lock(mutex_);
  FoundWorker found = {name_, std::nullopt, {}, last_failure_};
  if (offer_) {
    found.verdict = offer_->verdict();
    found.way = offer_->way();
  }
  return found;
}

std::string WorkerLink::failure() {
  const std::lock_guard lock(mutex_);
  return last_failure_;
}

bool WorkerLink::take_new() {
  if (!has_offer_.load(std::memory_order_acquire)) {
    return false;
  }
  const std::lock_guard lock(mutex_);
  session_ = std::move(offer_);
  offer_.reset();
  has_offer_ = false;
  return true;
}

void WorkerLink::lose(const std::string& why) {
  session_.reset();
  logger().warn("worker {} is lost: {}; what it would compute is computed here until it is back", name_, why);
  {
    const std::lock_guard lock(mutex_);
    lost_ = true;
  }
  changed_.notify_all();
}

void WorkerLink::run() {
  RetryPauses pauses(options_);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    auto session =
        WorkerSession::open(address_, hello_, room_, PeerSocket::Clock::now() + options_.connect, &interrupt_);
    lock.lock();
    if (session && !stopping_) {
      offer(std::move(*session), lock);
      pauses.begin_anew();
    } else if (!stopping_) {
      note_failure(session.error().message);
    }
    tried_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, pauses.next(), [this] { return stopping_; });
  }
}

// Until the session is lost.
void WorkerLink::offer(WorkerSession session, std::unique_lock<std::mutex>& lock) {
  const WorkerVerdict& its = session.verdict();
  const std::string facts = fmt::format("{} slots for experts, {} threads, {:.2f} ms away", its.slots, its.threads,
                                        1000 * session.way().round_trip);
  if (!options_.tells) {
    logger().debug("worker {} is found: {}", name_, facts);
  } else if (joined_before_ || !last_failure_.empty()) {
    logger().warn("worker {} is {}: {}", name_, joined_before_ ? "back" : "there", facts);
  } else {
    logger().info("worker {} joins: {}", name_, facts);
  }
  joined_before_ = true;
  last_failure_.clear();
  offer_ = std::move(session);
  has_offer_.store(true, std::memory_order_release);
  tried_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return lost_ || stopping_; });
  lost_ = false;
}

// Once for as long as it stays the same.
void WorkerLink::note_failure(const std::string& why) {
  if (why != last_failure_ && options_.tells) {
    logger().warn("worker {} does not help: {}; it is asked again from time to time", name_, why);
  }
  last_failure_ = why;
}

Result<std::vector<std::unique_ptr<WorkerLink>>> start_links(std::span<const WorkerAddress> workers,
                                                             const WorkerHello& hello, const WorkerRoom& room,
                                                             const WorkerLinkOptions& options,
                                                             const std::vector<bool>& left_out) {
  std::vector<std::unique_ptr<WorkerLink>> links(workers.size());
  for (size_t i = 0; i < workers.size(); ++i) {
    if (i < left_out.size() && left_out[i]) {
      continue;
    }
    auto link = WorkerLink::start(workers[i], hello, room, options);
    if (!link) {
      return propagate(link.error());
    }
    links[i] = std::move(*link);
  }
  for (const auto& link : links) {
    if (link != nullptr) {
      link->wait_until_tried();
    }
  }
  return links;
}

Result<std::vector<FoundWorker>> find_workers(std::span<const WorkerAddress> workers, const WorkerHello& hello,
                                              const WorkerRoom& room, const WorkerLinkOptions& options) {
  WorkerLinkOptions silent = options;
  silent.tells = false;
  const auto links = start_links(workers, hello, room, silent);
  if (!links) {
    return propagate(links.error());
  }
  std::vector<FoundWorker> found;
  for (const auto& link : *links) {
    found.push_back(link->found());
  }
  return found;
}

}  // namespace hypura
