#include "machine/speed/ram_bandwidth.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <span>
#include <system_error>
#include <thread>

#include "support/elapsed.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kStep = kMiB;  // read between two looks at the clock
constexpr int kFilled = 1;        // every byte of the memory
constexpr int kAbsent = 0;

// Shared by the threads of one measurement.
struct Race {
  std::atomic<bool> started = false;
  std::atomic<bool> over = false;
  std::atomic<uint64_t> bytes = 0;
  std::atomic<bool> found = false;  // never; keeps the reading from being optimised away
};

// memchr for a byte that is not there is the C library's fastest loop over memory: it loads every byte, with the widest
// registers the processor has, and does next to nothing else.
void read_over_and_over(Race& race, std::span<const std::byte> memory) {
  while (!race.started) {
    std::this_thread::yield();
  }
  uint64_t bytes = 0;
  size_t at = 0;
  do {  // once at least: on a busy machine the time may be over before this thread runs
    const size_t length = std::min<size_t>(kStep, memory.size() - at);
    if (std::memchr(memory.data() + at, kAbsent, length) != nullptr) {
      race.found = true;
    }
    bytes += length;
    at = at + kStep < memory.size() ? at + kStep : 0;
  } while (!race.over);
  race.bytes += bytes;
}

Result<double> race(std::span<const std::byte> memory, uint32_t count, double seconds) {
  Race race;
  std::vector<std::thread> threads;
  std::error_code refused;
  const size_t share = memory.size() / count;
  for (uint32_t i = 0; i < count && !refused; ++i) {
    try {
      threads.emplace_back([&race, part = memory.subspan(i * share, share)] { read_over_and_over(race, part); });
    } catch (const std::system_error& error) {
      refused = error.code();
    }
  }
  const auto start = Clock::now();
  race.over = static_cast<bool>(refused);
  race.started = true;
  if (!refused) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
  race.over = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (refused) {
    return fail(ErrorCode::kInternal, "cannot start {} threads: {}; raise the limit on processes", count,
                refused.message());
  }
  // The last step of each thread is counted and timed too.
  return per_second(static_cast<double>(race.bytes), seconds_since(start));
}

}  // namespace

Result<std::vector<double>> measure_ram(const RamTest& test) {
  auto memory = MemoryRegion::allocate(test.bytes);
  if (!memory) {
    return propagate(memory.error(), "memory to measure its speed with");
  }
  std::memset(memory->data(), kFilled, memory->size());  // untouched pages would all be one page of zeros
  std::vector<double> rates;
  for (uint32_t threads = 1; threads <= test.threads; ++threads) {
    const auto rate = race(memory->span(), threads, test.seconds);
    if (!rate) {
      return propagate(rate.error());
    }
    rates.push_back(*rate);
    if (test.progress) {
      test.progress(static_cast<double>(threads) / test.threads);
    }
  }
  return rates;
}

}  // namespace hypura
