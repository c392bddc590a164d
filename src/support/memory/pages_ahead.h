// Takes memory from the system before it is used.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

namespace hypura {

// Pages of new memory are zeroed when they are first touched, and a virtual machine's host may first have to find them:
// 0.5 GB/s on one thread, 1.3 on several, which sleep meanwhile. Whoever reads into such memory stands still for that.
// So threads of this object touch it, from its beginning on, until all of it is there or the object ends. What is in
// the memory stays as it is, and anybody may use it meanwhile. Does nothing for little memory, and where the system
// cannot do it (Linux before 5.14, macOS).
class PagesAhead {
 public:
  // Begins at once. The memory must stay mapped while the object lives.
  explicit PagesAhead(std::span<std::byte> memory);
  // Takes the time of 2 MiB at most.
  ~PagesAhead();
  PagesAhead(const PagesAhead&) = delete;
  PagesAhead& operator=(const PagesAhead&) = delete;

  static constexpr uint64_t kLeast = 64 << 20;

 private:
  void take();

  std::span<std::byte> memory_;
  std::atomic<uint64_t> next_ = 0;  // where the next step begins
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace hypura
