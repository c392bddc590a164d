// Which experts are in memory and in use, for whoever watches while answers run.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

#include "generate/engine/engine_impl.h"
#include "hypura/generator.h"

namespace hypura {

class LiveExperts {
 public:
  // The engine must outlive the object.
  explicit LiveExperts(EngineImpl& engine);

  // Passes were made, and nothing is under way now when `idle`. On the thread of the passes.
  void note_pass(bool idle);

  // As they are when nothing is under way, else as they were at most a tenth of a second ago; a second, when nobody had
  // asked for three. Any thread.
  std::vector<LiveLayer> layers() const;

 private:
  void note();

  EngineImpl& engine_;
  mutable std::atomic<std::chrono::steady_clock::time_point::rep> wanted_until_{0};
  std::chrono::steady_clock::time_point noted_;  // of the thread of the passes
  mutable std::mutex mutex_;
  std::vector<LiveLayer> layers_;  // guarded by mutex_
};

}  // namespace hypura
