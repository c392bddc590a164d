#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "cli/commands.h"
#include "cli/demo_model.h"
#include "cli/inspect/json.h"
#include "cli/inspect/page.h"
#include "cli/inspect/page_file.h"
#include "cli/inspect/text.h"
#include "cli/output.h"
#include "hypura/plan.h"
#include "hypura/profile.h"
#include "support/fail.h"

namespace hypura {

namespace {

EngineOptions engine_options(const InspectOptions& options, const std::filesystem::path& model) {
  EngineOptions engine;
  engine.model = model;
  engine.memory = options.memory;
  engine.gpu = options.gpu;
  engine.vram = options.vram;
  engine.vram_each = options.vram_each;
  engine.mixed_compute = options.mixed_compute;
  engine.context = options.context.value_or(0);
  return engine;
}

Status show(const InspectOptions& options, const InspectView& view, Output& out, Output& notes) {
  const bool colour = wants_colour(out.is_terminal(), std::getenv("NO_COLOR"), std::getenv("TERM"));
  out.write(options.json ? inspect_json(view) : inspect_text(view, {colour, options.tensors}));
  if (!out.status()) {
    return out.status();
  }
  if (options.html) {
    if (Status written = write_page(*options.html, inspect_page(view, options.tensors), view.model); !written) {
      return written;
    }
    notes.write(fmt::format("page written to {}\n", options.html->string()));
  }
  return {};
}

}  // namespace

Result<int> inspect_command(const InspectOptions& options) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  const auto path = model_or_demo(options.model);
  if (!path) {
    return propagate(path.error());
  }
  const auto model = open_model(*path);
  if (!model) {
    return propagate(model.error());
  }
  ProfileOptions where;
  where.path = *path;
  const std::optional<MachineProfile> machine = cached_profile(where);
  const auto plan = plan_model(*model, engine_options(options, *path), machine ? &*machine : nullptr);
  InspectView view{*model};
  view.machine = machine ? &*machine : nullptr;
  view.plan = plan ? &*plan : nullptr;
  view.error = plan ? nullptr : &plan.error();
  if (const Status shown = show(options, view, out, notes); !shown) {
    return propagate(shown.error());
  }
  if (!plan) {
    return propagate(plan.error());
  }
  return 0;
}

}  // namespace hypura
