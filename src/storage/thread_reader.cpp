// The reader on a pool of threads that call pread: for systems without io_uring, and to compare with.
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "storage/reader_core.h"
#include "support/fail.h"

namespace hypura {

namespace {

class ThreadReader final : public ReaderCore {
 public:
  ThreadReader(OpenFiles files, const ReaderOptions& options)
      : ReaderCore(std::move(files), options, "pread threads") {}
  ~ThreadReader() override;

  // Starts the workers; the error of the system when not even one can be had.
  std::error_code start(uint32_t threads);

  void register_memory(std::span<std::byte> /*memory*/) override {}
  void forget_memory(std::span<std::byte> /*memory*/) override {}

 private:
  void advance() override;
  void block(std::unique_lock<std::mutex>& lock, ReadGroup /*group*/) override { ended_.wait(lock); }
  void work();

  std::condition_variable work_;  // a chunk can be issued, or stop_
  bool stop_ = false;             // guarded by mutex_
  std::vector<std::thread> threads_;
};

ThreadReader::~ThreadReader() {
  drain();
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

std::error_code ThreadReader::start(uint32_t threads) {
  for (uint32_t i = 0; i < threads; ++i) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      return threads_.empty() ? error.code() : std::error_code();
    }
  }
  return {};
}

void ThreadReader::advance() {
  if (scheduler_.can_issue()) {
    work_.notify_all();
  }
}

// A worker takes its chunks from the scheduler itself, so reading goes on without anybody entering the reader.
void ThreadReader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    Scheduler::Chunk* chunk = scheduler_.next();
    if (chunk == nullptr) {
      if (stop_) {
        return;
      }
      work_.wait(lock);
      continue;
    }
    lock.unlock();
    const ssize_t got =
        ::pread(fd(chunk->source()), chunk->destination(), chunk->length(), static_cast<off_t>(chunk->offset()));
    const int64_t result = got >= 0 ? got : -errno;
    lock.lock();
    if (scheduler_.complete(chunk, result)) {
      ended_.notify_all();
    }
  }
}

}  // namespace

Result<std::unique_ptr<Reader>> make_thread_reader(OpenFiles files, const ReaderOptions& options) {
  auto reader = std::make_unique<ThreadReader>(std::move(files), options);
  if (const std::error_code error = reader->start(options.threads)) {
    return fail(ErrorCode::kInternal, "cannot start a reading thread: {}; raise the limit on processes",
                error.message());
  }
  return reader;
}

}  // namespace hypura
