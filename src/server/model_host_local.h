// The models of this machine, one of them loaded at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "server/idle_work.h"
#include "server/model_host.h"
#include "server/model_shelf.h"

namespace hypura {

struct ModelHostOptions {
  std::vector<OfferedModel> models;  // at least one
  Generator::Options generator;      // engine.model is filled in for each
  KeepAlive keep_alive;              // of leases that say nothing
  IdleWorkOptions idle;              // without `begin`: none. What is asked for meanwhile ends it

  // Tests put others here.
  ReadCard read_card = &read_model_card;
  std::function<Result<std::unique_ptr<Generator>>(const Generator::Options&)> open = &Generator::open;
  // Whether a model can be loaded at all, told without its weights: asked before another one is unloaded for it.
  std::function<Status(const std::filesystem::path&)> check = &check_model;
};

// Reads the models' headers; loads nothing yet. Fails as read_named_models. The host's destructor waits until every
// lease and every Generator it gave has been let go.
Result<std::unique_ptr<ModelHost>> make_model_host(ModelHostOptions options);

}  // namespace hypura
