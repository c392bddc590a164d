// The models of this machine, one of them loaded at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "server/idle_work.h"
#include "server/model_host.h"

namespace hypura {

struct ModelHostOptions {
  std::vector<std::filesystem::path> models;  // at least one
  Generator::Options generator;               // engine.model is filled in for each
  KeepAlive keep_alive;                       // of leases that say nothing
  IdleWorkOptions idle;                       // without `begin`: none. What is asked for meanwhile ends it

  // Tests put others here.
  std::function<Result<ModelCard>(const std::filesystem::path&)> read_card = &read_model_card;
  std::function<Result<std::unique_ptr<Generator>>(const Generator::Options&)> open = &Generator::open;
  // Whether a model can be loaded at all, told without its weights: asked before another one is unloaded for it.
  std::function<Status(const std::filesystem::path&)> check = &check_model;
};

// Reads the models' headers; loads nothing yet. One that cannot be read is left out, with a line in the log, as long as
// there is another. Fails as read_model_card does when none can be read, and with kUsage when two models have the same
// name. The host's destructor waits until every lease and every Generator it gave has been let go.
Result<std::unique_ptr<ModelHost>> make_model_host(ModelHostOptions options);

}  // namespace hypura
