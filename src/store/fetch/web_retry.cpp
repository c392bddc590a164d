#include <algorithm>
#include <thread>

#include "store/fetch/web_client.h"
#include "support/fail.h"

namespace hypura {

bool wait_unless_stopped(std::chrono::milliseconds time, const KeepGoing& keep_going) {
  constexpr auto kPiece = std::chrono::milliseconds(50);
  for (;;) {
    if (keep_going && !keep_going()) {
      return false;
    }
    if (time.count() <= 0) {
      return true;
    }
    std::this_thread::sleep_for(std::min(time, kPiece));
    time -= std::min(time, kPiece);
  }
}

Result<WebPage> get_patiently(WebClient& client, const WebRequest& request, std::optional<size_t> most,
                              const RetryPolicy& policy, const KeepGoing& keep_going) {
  for (unsigned failures = 1;; ++failures) {
    auto page = client.get(request, most, keep_going);
    const bool again = page ? is_temporary(page->head.status) : page.error().temporary;
    if (!again || failures > policy.most) {
      return page ? Result<WebPage>(std::move(*page)) : propagate(page.error().error);
    }
    if (!wait_unless_stopped(policy.wait(failures), keep_going)) {
      return fail(ErrorCode::kCancelled, "stopped");
    }
  }
}

}  // namespace hypura
