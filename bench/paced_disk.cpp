// hypura-paced-disk: loaded before a program (LD_PRELOAD), its preads come as from a disk that gives
// HYPURA_DISK_BYTES_PER_SECOND, one after the other, from the first byte on. For measurements of machines with slow
// disks on one machine.
//
// A cgroup's limit is another thing: within a tenth of a second it lets through what was not read before, so that who
// reads now and then reads at full speed (docs/lab/experiments.md, "Workers on one machine").
//
// io_uring is refused, so that Hypura reads by pread; both reads at once and in turn take what the disk gives.
#include <dlfcn.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
using Pread = ssize_t (*)(int, void*, size_t, int64_t);

class PacedDisk {
 public:
  PacedDisk() {
    const char* rate = std::getenv("HYPURA_DISK_BYTES_PER_SECOND");
    bytes_per_second_ = rate == nullptr ? 0 : std::strtod(rate, nullptr);
    system_ = reinterpret_cast<Pread>(::dlsym(RTLD_NEXT, "pread64"));
  }

  ssize_t read(int fd, void* to, size_t length, int64_t offset) {
    const Clock::time_point done = take_turn(length);
    const ssize_t got = system_(fd, to, length, offset);
    const int error = errno;
    std::this_thread::sleep_until(done);
    errno = error;
    return got;
  }

 private:
  // When the disk has given so many bytes more.
  Clock::time_point take_turn(size_t length) {
    if (bytes_per_second_ <= 0) {
      return {};
    }
    const std::chrono::duration<double> takes(static_cast<double>(length) / bytes_per_second_);
    const std::lock_guard lock(mutex_);
    busy_until_ = std::max(busy_until_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(takes);
    return busy_until_;
  }

  double bytes_per_second_ = 0;
  Pread system_ = nullptr;
  std::mutex mutex_;
  Clock::time_point busy_until_;
};

PacedDisk& disk() {
  static PacedDisk it;
  return it;
}

}  // namespace

extern "C" {

ssize_t pread64(int fd, void* buf, size_t nbytes, int64_t offset) {
  return disk().read(fd, buf, nbytes, offset);
}

ssize_t pread(int fd, void* buf, size_t nbytes, int64_t offset) {
  return disk().read(fd, buf, nbytes, offset);
}

int io_uring_queue_init(unsigned /*entries*/, void* /*ring*/, unsigned /*flags*/) {
  return -ENOSYS;
}
}
