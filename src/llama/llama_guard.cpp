#include "llama/llama_guard.h"

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "ggml.h"
#include "support/units.h"

namespace hypura {

namespace {

thread_local int guards = 0;
thread_local Guarding guarding = Guarding::kNoComputing;  // of the innermost one

// The sources of ggml's CPU kernels have a folder of their own.
bool is_of_kernel(std::string_view message) {
  return message.substr(0, message.find(": ")).find("ggml-cpu") != std::string_view::npos;
}

// "/where/it/was/built/llama-vocab.cpp:12: GGML_ASSERT(x) failed", without the folders.
std::string without_folders(std::string_view message) {
  const std::string_view path = message.substr(0, message.find(':'));
  const size_t slash = path.find_last_of("/\\");
  return std::string(slash == std::string_view::npos ? message : message.substr(slash + 1));
}

// One thread of those that compute together says it; the others wait for the end.
[[noreturn]] void stop_process(const std::string& sentence) {
  static std::atomic_flag stopping = ATOMIC_FLAG_INIT;
  while (stopping.test_and_set()) {
    ::pause();
  }
  const std::string line = "hypura: error: " + sentence + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(static_cast<int>(ErrorCode::kInternal));
}

void on_abort(const char* message) {
  const std::string text = without_folders(message);
  // An exception during another one's unwinding would end the process without a word.
  const bool survivable = guards > 0 && (guarding == Guarding::kNoComputing || !is_of_kernel(message));
  if (survivable && std::uncaught_exceptions() == 0) {
    throw std::runtime_error(text);
  }
  stop_process("llama.cpp stopped: " + text);
}

[[noreturn]] void on_terminate() {
  std::string text = "no reason given";
  try {
    if (const std::exception_ptr current = std::current_exception()) {
      std::rethrow_exception(current);
    }
  } catch (const std::exception& error) {
    text = error.what();
  } catch (...) {
    text = "an exception of an unknown kind";
  }
  stop_process("stopped by a failure that was not expected: " + text);
}

constexpr std::array kCrashes = {SIGSEGV, SIGBUS, SIGFPE};
constexpr size_t kSignalStack = 64 * kKiB;

thread_local sigjmp_buf* recovery_point = nullptr;  // where this thread goes on after a crash
std::array<struct sigaction, kCrashes.size()> previous_handlers{};

// Of another thread's crash, or of one outside of survives(): what would have been done without us.
void on_crash(int signal, siginfo_t* info, void* /*context*/) {
  if (recovery_point != nullptr) {
    siglongjmp(*recovery_point, 1);
  }
  for (size_t i = 0; i < kCrashes.size(); ++i) {
    if (kCrashes[i] == signal) {
      ::sigaction(signal, &previous_handlers[i], nullptr);
    }
  }
  // An instruction is repeated, and meets that; what a program sent is not.
  if (info->si_code <= 0) {
    ::raise(signal);
  }
}

void catch_crashes() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (size_t i = 0; i < kCrashes.size(); ++i) {
      struct sigaction action = {};
      action.sa_sigaction = on_crash;
      action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
      ::sigaction(kCrashes[i], &action, &previous_handlers[i]);
    }
  });
}

// A stack of this thread's own for the signal's handler: its usual one may be what is used up.
class SignalStack {
 public:
  SignalStack() : memory_(std::make_unique<std::byte[]>(kSignalStack)) {
    stack_t stack = {};
    stack.ss_sp = memory_.get();
    stack.ss_size = kSignalStack;
    ::sigaltstack(&stack, &before_);
  }
  ~SignalStack() { ::sigaltstack(&before_, nullptr); }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  std::unique_ptr<std::byte[]> memory_;
  stack_t before_ = {};
};

void call_recoverably(const std::function<void()>& work, sigjmp_buf& here) {
  struct Recovery {
    ~Recovery() { recovery_point = nullptr; }
  } const reset;
  recovery_point = &here;
  work();
}

}  // namespace

void set_abort_handlers() {
  ggml_set_abort_callback(on_abort);
  std::set_terminate(on_terminate);
}

LlamaGuard::LlamaGuard(Guarding what) : before_(std::exchange(guarding, what)) {
  ++guards;
}

LlamaGuard::~LlamaGuard() {
  --guards;
  guarding = before_;
}

bool survives(const std::function<void()>& work) {
  catch_crashes();
  const SignalStack stack;
  const int guards_before = guards;
  const Guarding guarding_before = guarding;
  sigjmp_buf here;
  if (sigsetjmp(here, 1) != 0) {
    recovery_point = nullptr;
    guards = guards_before;  // those of `work` were not left in order
    guarding = guarding_before;
    return false;
  }
  call_recoverably(work, here);
  return true;
}

}  // namespace hypura
