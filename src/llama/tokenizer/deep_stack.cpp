#include "llama/tokenizer/deep_stack.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

namespace hypura {

namespace {

// Memory for a stack, with a page below it that must not be touched.
class StackMemory {
 public:
  explicit StackMemory(size_t bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes + page - 1) / page * page + page;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) {
      return;
    }
    if (mprotect(memory_, page, PROT_NONE) == 0) {
      stack_ = static_cast<char*>(memory_) + page;
      stack_size_ = size_ - page;
    }
  }

  ~StackMemory() {
    if (memory_ != MAP_FAILED) {
      munmap(memory_, size_);
    }
  }

  StackMemory(const StackMemory&) = delete;
  StackMemory& operator=(const StackMemory&) = delete;

  void* stack() const { return stack_; }  // null when there is none
  size_t stack_size() const { return stack_size_; }

 private:
  void* memory_ = MAP_FAILED;
  size_t size_ = 0;
  void* stack_ = nullptr;
  size_t stack_size_ = 0;
};

void* run_work(void* work) {
  (*static_cast<const std::function<void()>*>(work))();
  return nullptr;
}

}  // namespace

bool run_on_stack(size_t bytes, const std::function<void()>& work) {
  const StackMemory memory(bytes);
  pthread_attr_t attributes;
  if (memory.stack() == nullptr || pthread_attr_init(&attributes) != 0) {
    return false;
  }
  pthread_t thread = {};
  const bool started = pthread_attr_setstack(&attributes, memory.stack(), memory.stack_size()) == 0 &&
                       pthread_create(&thread, &attributes, run_work, const_cast<std::function<void()>*>(&work)) == 0;
  pthread_attr_destroy(&attributes);
  return started && pthread_join(thread, nullptr) == 0;
}

}  // namespace hypura
