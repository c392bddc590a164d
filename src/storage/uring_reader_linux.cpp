// The reader on io_uring.
//
// The rings are touched only with the lock held. A thread that has to wait becomes the one that sleeps in the kernel
// (sleeping_) and lets go of the lock; until it is back, it alone may collect completions, because the kernel wakes it
// for new ones only, and one that another thread took just before it fell asleep would be missed for good. Others that
// have to wait meanwhile wait on ended_, and one of them takes the place when it becomes free.
//
// The ring has no set-up flags. SINGLE_ISSUER and DEFER_TASKRUN tie it to one thread; COOP_TASKRUN would hold back a
// completion until the thread that submitted the read happens to enter the kernel, though another one waits for it.
#include <liburing.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "storage/reader_core.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint32_t kBufferSlots = 4096;       // pieces of registered memory
constexpr uint64_t kBufferBytes = 64 * kMiB;  // of one piece; the kernel takes up to 1 GiB

class UringReader final : public ReaderCore {
 public:
  // Takes over the ring.
  UringReader(OpenFiles files, const ReaderOptions& options, const io_uring& ring);
  ~UringReader() override;

  void register_memory(std::span<std::byte> memory) override;
  void forget_memory(std::span<std::byte> memory) override;

 private:
  // A stretch of memory that the kernel is to know. It learns it when something is first read into it.
  struct Buffer {
    std::byte* begin;
    std::byte* end;
    unsigned slot;
    enum { kNew, kRegistered, kRefused } state = kNew;
  };

  void advance() override;
  void block(std::unique_lock<std::mutex>& lock, ReadGroup group) override;
  unsigned completions_to_wait_for(ReadGroup group) const;
  void collect(Noticed noticed);
  void issue();
  void prepare(Scheduler::Chunk* chunk);
  void submit_staged();
  const Buffer* buffer_of(const std::byte* memory, uint64_t length);
  bool registered(Buffer& buffer);
  void unregister(Buffer& buffer);
  void submit_all_staged();

  // All guarded by mutex_.
  io_uring ring_;
  std::vector<Scheduler::Chunk*> staged_;  // in the submission ring, not yet taken by the kernel
  int broken_ = 0;                         // errno with which the kernel refuses all submissions
  bool sleeping_ = false;                  // a thread is in the kernel, waiting for a completion
  bool has_slots_ = false;                 // the kernel gave us the table for registered memory
  std::vector<Buffer> buffers_;            // sorted by address
  std::vector<unsigned> free_slots_;       // of the table, before used_slots_
  unsigned used_slots_ = 0;
};

UringReader::UringReader(OpenFiles files, const ReaderOptions& options, const io_uring& ring)
    : ReaderCore(std::move(files), options, "io_uring"), ring_(ring) {
  staged_.reserve(options.depth);
  // An empty table now, filled later: only so can memory be registered while reads are in flight. Linux 5.19 and later.
  has_slots_ = io_uring_register_buffers_sparse(&ring_, kBufferSlots) == 0;
}

UringReader::~UringReader() {
  drain();
  io_uring_queue_exit(&ring_);
}

void UringReader::advance() {
  if (!sleeping_) {
    collect(Noticed::kLater);
  }
  issue();
}

// A group ends with the last of its chunks, and being woken for each of them costs more than reading a small one: so as
// many as it has under way. Where others are queued behind them, a part: they are to be issued before the disk runs
// dry. Another thread that waits meanwhile, for a group that ends sooner, learns of it no earlier.
unsigned UringReader::completions_to_wait_for(ReadGroup group) const {
  if (has_mirrors() || !staged_.empty()) {  // staged: not all that is in flight is known to the kernel
    return 1;
  }
  const unsigned part = scheduler_.has_queued() ? scheduler_.in_flight() / 4 : scheduler_.in_flight();
  return std::max(1U, std::min(part, scheduler_.in_flight(group)));
}

void UringReader::block(std::unique_lock<std::mutex>& lock, ReadGroup group) {
  if (sleeping_) {
    ended_.wait(lock);
    return;
  }
  sleeping_ = true;
  const bool something_to_wait_for = scheduler_.in_flight() > staged_.size();
  const unsigned completions = completions_to_wait_for(group);
  lock.unlock();
  if (something_to_wait_for) {
    // The bare system call: liburing's own wait would read the ring without the lock. An error means "look again".
    io_uring_enter(static_cast<unsigned>(ring_.ring_fd), 0, completions, IORING_ENTER_GETEVENTS, nullptr);
  } else {
    // The kernel was short of memory for new reads, and none is running that would free some.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  lock.lock();
  sleeping_ = false;
  collect(Noticed::kAtOnce);
  issue();
  ended_.notify_all();
}

void UringReader::collect(Noticed noticed) {
  std::array<io_uring_cqe*, 64> entries{};
  unsigned count = 0;
  do {
    count = io_uring_peek_batch_cqe(&ring_, entries.data(), static_cast<unsigned>(entries.size()));
    for (unsigned i = 0; i < count; ++i) {
      scheduler_.complete(static_cast<Scheduler::Chunk*>(io_uring_cqe_get_data(entries[i])), entries[i]->res, noticed);
    }
    io_uring_cq_advance(&ring_, count);
  } while (count == entries.size());
}

void UringReader::issue() {
  while (Scheduler::Chunk* chunk = scheduler_.next()) {
    if (broken_ != 0) {
      scheduler_.complete(chunk, -broken_);
    } else {
      prepare(chunk);
    }
  }
  submit_staged();
}

void UringReader::prepare(Scheduler::Chunk* chunk) {
  // Never null: the ring has at least `depth` entries.
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  const int file = fd(chunk->source());
  const auto length = static_cast<unsigned>(chunk->length());
  if (const Buffer* buffer = buffer_of(chunk->destination(), chunk->length())) {
    io_uring_prep_read_fixed(entry, file, chunk->destination(), length, chunk->offset(),
                             static_cast<int>(buffer->slot));
  } else {
    io_uring_prep_read(entry, file, chunk->destination(), length, chunk->offset());
  }
  io_uring_sqe_set_data(entry, chunk);
  staged_.push_back(chunk);
}

void UringReader::submit_staged() {
  if (staged_.empty()) {
    return;
  }
  const int taken = io_uring_submit(&ring_);
  if (taken >= 0) {
    staged_.erase(staged_.begin(), staged_.begin() + taken);
    return;
  }
  if (taken == -EAGAIN || taken == -EBUSY || taken == -EINTR || taken == -ENOMEM) {
    return;  // they stay in the ring; the next entry submits them
  }
  broken_ = -taken;
  for (Scheduler::Chunk* chunk : std::exchange(staged_, {})) {
    scheduler_.complete(chunk, taken);
  }
  issue();  // what was to be read from a mirror is queued again, for the file itself
}

const UringReader::Buffer* UringReader::buffer_of(const std::byte* memory, uint64_t length) {
  const auto after = std::upper_bound(buffers_.begin(), buffers_.end(), memory,
                                      [](const std::byte* p, const Buffer& buffer) { return p < buffer.begin; });
  if (after == buffers_.begin()) {
    return nullptr;
  }
  Buffer& buffer = *std::prev(after);
  const bool inside = memory < buffer.end && length <= static_cast<uint64_t>(buffer.end - memory);
  return inside && registered(buffer) ? &buffer : nullptr;
}

bool UringReader::registered(Buffer& buffer) {
  if (buffer.state == Buffer::kNew) {
    const iovec memory{buffer.begin, static_cast<size_t>(buffer.end - buffer.begin)};
    const bool taken = io_uring_register_buffers_update_tag(&ring_, buffer.slot, &memory, nullptr, 1) == 1;
    buffer.state = taken ? Buffer::kRegistered : Buffer::kRefused;
  }
  return buffer.state == Buffer::kRegistered;
}

void UringReader::register_memory(std::span<std::byte> memory) {
  const std::lock_guard lock(mutex_);
  if (!has_slots_ || (memory.size() + kBufferBytes - 1) / kBufferBytes > kBufferSlots - buffers_.size()) {
    return;
  }
  for (size_t at = 0; at < memory.size(); at += kBufferBytes) {
    std::byte* begin = memory.data() + at;
    std::byte* end = begin + std::min<size_t>(kBufferBytes, memory.size() - at);
    unsigned slot = used_slots_;
    if (free_slots_.empty()) {
      ++used_slots_;
    } else {
      slot = free_slots_.back();
      free_slots_.pop_back();
    }
    buffers_.push_back({begin, end, slot});
  }
  std::sort(buffers_.begin(), buffers_.end(), [](const Buffer& a, const Buffer& b) { return a.begin < b.begin; });
}

// What is under way keeps the kernel's old notion of its buffer until it has ended.
void UringReader::unregister(Buffer& buffer) {
  if (std::exchange(buffer.state, Buffer::kNew) == Buffer::kRegistered) {
    const iovec nothing{nullptr, 0};
    io_uring_register_buffers_update_tag(&ring_, buffer.slot, &nothing, nullptr, 1);
  }
}

// The kernel takes them at once, but when it is short of memory.
void UringReader::submit_all_staged() {
  submit_staged();
  while (!staged_.empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    advance();
  }
}

// A piece that is forgotten in part ends there from now on; what of it lies behind becomes one of its own.
void UringReader::forget_memory(std::span<std::byte> memory) {
  std::byte* begin = memory.data();
  std::byte* end = begin + memory.size();
  std::span<std::byte> behind;
  {
    const std::lock_guard lock(mutex_);
    submit_all_staged();  // they name a place in the table
    for (Buffer& it : buffers_) {
      if (it.end <= begin || it.begin >= end) {
        continue;
      }
      unregister(it);
      if (it.end > end) {
        behind = {end, it.end};
      }
      it.end = std::max(it.begin, begin);
      if (it.begin == it.end) {
        free_slots_.push_back(it.slot);
      }
    }
    std::erase_if(buffers_, [](const Buffer& it) { return it.begin == it.end; });
  }
  if (!behind.empty()) {
    register_memory(behind);
  }
}

// Plain reads came after io_uring itself (Linux 5.6).
bool can_read(io_uring& ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  const bool supported = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ) != 0;
  io_uring_free_probe(probe);
  return supported;
}

}  // namespace

std::unique_ptr<Reader> make_uring_reader(OpenFiles& files, const ReaderOptions& options) {
  io_uring ring{};
  if (io_uring_queue_init(options.depth, &ring, 0) != 0) {
    return nullptr;
  }
  if (!can_read(ring)) {
    io_uring_queue_exit(&ring);
    return nullptr;
  }
  return std::make_unique<UringReader>(std::move(files), options, ring);
}

}  // namespace hypura
