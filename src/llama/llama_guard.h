// llama.cpp ends the process where something is not as it must be: by an assertion, by an exception that it lets out,
// or by using a tensor that is not there. Under a guard that is an error, as it has to be where it works on what a file
// says.
//
// An assertion calls ggml_abort, which calls a function of ours before it aborts; that function throws. The exception
// unwinds llama.cpp's frames as any other: its own handlers (of loading, of making a context) take it for an error of
// their own, log its text and free what they had; where there is none it ends here. What is relied on: llama.cpp and
// ggml have unwind tables, as compilers give all code on x86-64 and arm64; and ggml, which is C and frees nothing on
// the way, holds no lock while it asserts. What a function of ggml had allocated itself is lost: some KiB for each
// assertion.
//
// A kernel's assertion cannot be survived: it stops one of several threads that compute together and wait for each
// other.
#pragma once

#include <exception>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "hypura/result.h"
#include "support/fail.h"

namespace hypura {

// From now on an assertion outside of a guard, and an exception that nothing catches, are one line on standard error
// and the exit code of kInternal: no debugger is started. init_llama does it. Any thread.
void set_abort_handlers();

// What is done under a guard. A pass computes: an assertion of a kernel then still ends the process.
enum class Guarding { kNoComputing, kPass };

// While one lives, an assertion of llama.cpp on this thread throws a std::exception whose text names file, line and
// condition. They may be nested.
class LlamaGuard {
 public:
  explicit LlamaGuard(Guarding what = Guarding::kNoComputing);
  ~LlamaGuard();
  LlamaGuard(const LlamaGuard&) = delete;
  LlamaGuard& operator=(const LlamaGuard&) = delete;

 private:
  Guarding before_;
};

// What `work` gives, a Result or a Status, under a guard. Where an assertion or an exception ends it: an error of
// `code`, "`doing`: what was not as it must be".
template <class Work>
std::invoke_result_t<Work> guarded(ErrorCode code, std::string_view doing, Work&& work,
                                   Guarding what = Guarding::kNoComputing) {
  const LlamaGuard guard(what);
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kInternal, "{}: there is not enough memory", doing);
  } catch (const std::exception& error) {
    return fail(code, "{}: {}", doing, error.what());
  } catch (...) {  // of another C++ library, where llama.cpp was built with one
    return fail(code, "{}: llama.cpp gave no reason", doing);
  }
}

// Calls `work`; false when it did not come back, because it met memory that is not there, divided by zero or used up
// the stack. What it had allocated until then is lost, and so is what it had begun to change: it must hold no lock,
// change nothing that others see, and allocate little. Any thread, several at once.
bool survives(const std::function<void()>& work);

}  // namespace hypura
