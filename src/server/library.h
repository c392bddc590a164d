// What changes the set of models that a server offers, and the way from a name to a model where it may have changed.
#pragma once

#include <functional>
#include <string>

#include "hypura/result.h"
#include "server/api.h"
#include "server/model_host.h"
#include "store/catalogue/catalogue.h"

namespace hypura {

// A model to be made from another one.
struct NewModel {
  std::string name;
  std::string from;  // the name of one that is offered
  ModelPreset preset;
  std::string license;
};

// The models of this machine that a server offers besides those it was started with. All functions return at once;
// `done` is called on the library's thread, or with kCancelled when the server stops. Any thread.
class ModelLibrary {
 public:
  virtual ~ModelLibrary() = default;

  using Done = std::function<void(Status)>;

  // Looks through the places again, unless that was done a moment ago, and has the host offer what is there.
  virtual void refresh(Done done) = 0;

  // Looks through them in any case: something was fetched.
  virtual void changed(Done done) = 0;

  // Each fails with kUsage where it must not be: a name that another program's model has, a model of another program.
  virtual void remove(std::string name, Done done) = 0;
  virtual void create(NewModel model, Done done) = 0;
};

// Whether the client may fetch, create and delete models: those on this machine may, others where the owner allows it.
bool may_change(const ApiContext& context, const Exchange& exchange);

// What one that may not is told, with status 403.
inline constexpr const char* kMayNotChange =
    "only clients on this machine may change its models; `hypura serve --allow-changes` lets others";

// Calls `then` when the host offers what is there now; at once where it offers what it was started with.
void refresh(const ApiContext& context, std::function<void()> then);

// Calls `then` with the model that `name` means: at once where it is known; else, or with null, after another look at
// what is there.
void find_soon(const ApiContext& context, const std::string& name, std::function<void(ModelPtr)> then);

}  // namespace hypura
