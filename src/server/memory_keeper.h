// Keeps the memory of the loaded model to what the machine can afford, or to what the owner says.
//
// One thread looks at the machine a few times a second and sets the model's memory by MemoryPolicy, where the server
// was started to follow (--memory auto). What the owner sets by hand, over HTTP or by a signal, holds until he takes it
// back, for models that are loaded later too.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>

#include "hypura/memory.h"
#include "residency/memory_policy.h"
#include "server/model_host.h"

namespace hypura {

// What the owner wants: so many bytes; the least that the model can do with; or what was planned, following the
// machine where the server was started to.
struct MemoryLeast {};
struct MemoryAuto {};
using MemoryWish = std::variant<MemoryAuto, MemoryLeast, uint64_t>;

// "6G", "least" or "auto". Fails with kUsage.
Result<MemoryWish> read_memory_wish(std::string_view text);

struct MemoryKeeperState {
  std::optional<MemoryState> model;  // none: none is loaded
  bool follows = false;              // the machine, now
  std::optional<std::string> wish;   // set by hand: "least" or "4.0 GiB"
};

struct MemoryKeeperOptions {
  bool follows = false;
  std::chrono::milliseconds every{250};
  // Tests put others here. What signals ask for: called at each look; none where none came.
  std::function<std::optional<MemoryWish>()> signals = {};
  std::function<MemoryLook()> look = {};  // empty: of this machine
};

// Any thread.
class MemoryKeeper {
 public:
  // `host` must outlive the object.
  MemoryKeeper(ModelHost& host, MemoryKeeperOptions options);
  ~MemoryKeeper();
  MemoryKeeper(const MemoryKeeper&) = delete;
  MemoryKeeper& operator=(const MemoryKeeper&) = delete;

  // Sets it by hand. `done` is called on the keeper's thread, with the state that it is then in; or with the error that
  // the model gives, and nothing has changed. Dropped when the keeper goes before.
  void set(MemoryWish wish, std::string why, std::function<void(Result<MemoryKeeperState>)> done);

  MemoryKeeperState state() const;

 private:
  struct Asked {
    MemoryWish wish;
    std::string why;
    std::function<void(Result<MemoryKeeperState>)> done;
  };

  // On the thread:
  void run();
  void answer(Asked asked);
  Status obey(const MemoryWish& wish, std::string_view why);
  void look();
  Status change(Generator& generator, uint64_t bytes, std::string_view why);

  ModelHost& host_;
  const MemoryKeeperOptions options_;
  MemoryPolicy policy_;                      // the thread's, as the next
  std::weak_ptr<const Generator> followed_;  // of whom the policy knows

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<Asked> asked_;
  MemoryWish wish_;  // by hand
  std::string why_;  // and why
  bool stopping_ = false;

  std::thread thread_;  // last
};

}  // namespace hypura
