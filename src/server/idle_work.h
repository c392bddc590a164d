// What a server does while no model is loaded and none is asked for.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "server/model_host.h"

namespace hypura {

// Work under way. Destroying it ends it at once, whether it is done or not.
class IdleWork {
 public:
  virtual ~IdleWork() = default;

  // Empty while it is under way, then how it ended: "done", or what else there is to say in the log.
  virtual std::string ended() = 0;
};

struct IdleWorkOptions {
  // Begins what there is to do for a model that was loaded before; null: nothing. On the host's thread, which waits.
  std::function<std::unique_ptr<IdleWork>(const std::filesystem::path& model)> begin;
  Nanoseconds after = std::chrono::minutes(1);  // so long after the last model was unloaded
  Nanoseconds again = std::chrono::hours(1);    // no sooner than so long after the last time that something was begun
  Nanoseconds look = std::chrono::milliseconds(200);  // between looks whether it has ended
};

}  // namespace hypura
