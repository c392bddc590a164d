#include "support/memory/pages_ahead.h"

#include <algorithm>

#include "support/memory/huge_pages.h"
#include "support/memory/touch_pages.h"

namespace hypura {

namespace {

// Short: who maps memory meanwhile, as loading does, waits for the steps under way.
constexpr uint64_t kStep = kHugePage;
// More than a small machine has processors: they mostly wait for the host.
constexpr int kThreads = 4;

}  // namespace

PagesAhead::PagesAhead(std::span<std::byte> memory) : memory_(memory) {
  if (memory.size() < kLeast) {
    return;
  }
  for (int i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this] { take(); });
  }
}

PagesAhead::~PagesAhead() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void PagesAhead::take() {
  while (!stop_) {
    const uint64_t begin = next_.fetch_add(kStep);
    if (begin >= memory_.size() || !touch_pages(memory_.subspan(begin, std::min(kStep, memory_.size() - begin)))) {
      return;
    }
  }
}

}  // namespace hypura
