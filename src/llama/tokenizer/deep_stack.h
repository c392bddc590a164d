// Work that calls itself deeper than a thread's usual stack allows.
#pragma once

#include <cstddef>
#include <functional>

namespace hypura {

// Runs `work` on a thread of its own with a stack of `bytes`, and waits for it. Of the stack only what is touched takes
// memory, and all is given back at once. False when the system gives no such thread: `work` has then not run. `work`
// must not throw.
bool run_on_stack(size_t bytes, const std::function<void()>& work);

}  // namespace hypura
