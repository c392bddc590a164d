#include "server/library.h"

#include <utility>

namespace hypura {

bool may_change(const ApiContext& context, const Exchange& exchange) {
  return context.allow_changes || exchange.request().from_here;
}

void refresh(const ApiContext& context, std::function<void()> then) {
  if (context.library == nullptr) {
    then();
    return;
  }
  // What was found before is offered where looking again was not possible.
  context.library->refresh([then = std::move(then)](const Status& /*status*/) { then(); });
}

void find_soon(const ApiContext& context, const std::string& name, std::function<void(ModelPtr)> then) {
  if (ModelPtr model = context.host.find(name)) {
    then(std::move(model));
    return;
  }
  refresh(context, [&context, name, then = std::move(then)] { then(context.host.find(name)); });
}

}  // namespace hypura
