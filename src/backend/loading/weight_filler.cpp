#include "backend/loading/weight_filler.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "backend/loading/placed_weights.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

// Several chunks of the reader's, and as little as keeps its queue filled while some pieces are laid out.
constexpr uint64_t kPieceBytes = 4 * kMiB;

// Consecutive bytes of one tensor, on their way through one of the places.
struct Piece {
  ggml_tensor* tensor = nullptr;
  uint64_t at = 0;  // in the tensor
  Extent extent;
  std::byte* place = nullptr;  // page-aligned
  ReadGroup group = 0;

  std::byte* data() const { return place + extent.offset % kDirectAlignment; }
};

std::vector<Piece> cut(const std::vector<UnfilledWeight>& weights, uint64_t most) {
  std::vector<Piece> pieces;
  for (const UnfilledWeight& it : weights) {
    const uint64_t step = most / group_bytes(*it.tensor) * group_bytes(*it.tensor);
    for (uint64_t at = 0; at < it.extent.length; at += step) {
      const uint64_t length = std::min(step, it.extent.length - at);
      pieces.push_back({it.tensor, at, {it.extent.file, it.extent.offset + at, length}});
    }
  }
  return pieces;
}

// Threads that lay pieces out, and the places that these leave.
class LayoutThreads {
 public:
  LayoutThreads(uint32_t threads, std::vector<std::byte*> places) : free_(std::move(places)) {
    for (uint32_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { work(); });
    }
  }
  ~LayoutThreads() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& it : threads_) {
      it.join();  // what was added is laid out first
    }
  }
  LayoutThreads(const LayoutThreads&) = delete;
  LayoutThreads& operator=(const LayoutThreads&) = delete;

  void add(const Piece& piece) {
    {
      const std::lock_guard lock(mutex_);
      ready_.push_back(piece);
    }
    changed_.notify_all();
  }

  // A free place; nullptr where there is none, and none is waited for.
  std::byte* take(bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) {
      changed_.wait(lock, [this] { return !free_.empty(); });
    }
    if (free_.empty()) {
      return nullptr;
    }
    std::byte* place = free_.back();
    free_.pop_back();
    return place;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ended_ || !ready_.empty(); });
      if (ready_.empty()) {
        return;
      }
      const Piece piece = ready_.front();
      ready_.pop_front();
      lock.unlock();
      lay_out(*piece.tensor, piece.at, piece.data(), piece.extent.length);
      lock.lock();
      free_.push_back(piece.place);
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> ready_;
  std::vector<std::byte*> free_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

// Reads the pieces in their order, as far ahead as there are places, and hands them on.
Status feed(std::vector<Piece>& pieces, Reader& reader, LayoutThreads& threads,
            const std::function<void(double)>& progress) {
  std::deque<Piece> reading;
  Status status;
  size_t next = 0;
  for (size_t done = 0; done < pieces.size(); ++done) {
    while (next < pieces.size()) {
      std::byte* place = threads.take(reading.empty());
      if (place == nullptr) {
        break;
      }
      Piece& piece = pieces[next++];
      piece.place = place;
      const ReadRequest request = {piece.extent.file, piece.extent.offset, piece.extent.length, piece.data()};
      piece.group = reader.submit({&request, 1}, Priority::kDemand);
      reading.push_back(piece);
    }
    const Piece piece = reading.front();
    reading.pop_front();
    status = reader.wait(piece.group);
    if (!status) {
      break;
    }
    threads.add(piece);
    if (progress) {
      progress(static_cast<double>(done + 1) / static_cast<double>(pieces.size()));
    }
  }
  for (const Piece& it : reading) {
    reader.cancel(it.group);
    static_cast<void>(reader.wait(it.group));  // its place must not be written to any more
  }
  return status;
}

}  // namespace

Status fill_weights(std::vector<UnfilledWeight> weights, Reader& reader, uint32_t threads,
                    const std::function<void(double)>& progress) {
  std::ranges::sort(weights, {}, [](const UnfilledWeight& it) { return std::pair(it.extent.file, it.extent.offset); });
  uint64_t piece = kPieceBytes;
  for (const UnfilledWeight& it : weights) {
    piece = std::max(piece, group_bytes(*it.tensor));
  }
  std::vector<Piece> pieces = cut(weights, piece);
  if (pieces.empty()) {
    return {};
  }
  const uint64_t with_ends = round_up(piece, kDirectAlignment) + 2 * kDirectAlignment;
  const uint64_t count = std::clamp<uint64_t>(kFillingBytes / piece, 2, pieces.size() + 1);
  auto memory = MemoryRegion::allocate(count * with_ends);
  if (!memory) {
    return propagate(memory.error(), "the buffers for loading");
  }
  std::vector<std::byte*> places;
  for (uint64_t i = 0; i < count; ++i) {
    places.push_back(memory->data() + i * with_ends);
  }
  LayoutThreads laying_out(threads, std::move(places));
  return feed(pieces, reader, laying_out, progress);
}

}  // namespace hypura
