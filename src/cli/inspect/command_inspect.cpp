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
#include "cli/pull/missing_model.h"
#include "hypura/plan.h"
#include "hypura/profile.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/units.h"

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
  engine.workers = options.workers;
  engine.trust_network = options.trust_network;
  engine.split = options.split;
  engine.context = options.context.value_or(0);
  engine.threads = options.threads;
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

// What is shown: the model, its file, and a path on the disk that it is on, or would be.
struct SeenModel {
  Model model;
  std::filesystem::path file;
  std::filesystem::path disk;
};

Result<SeenModel> open_here(const InspectOptions& options) {
  const auto path = model_or_demo(options.model);
  if (!path) {
    return propagate(path.error());
  }
  return open_model(*path).map([&](Model&& model) { return SeenModel{std::move(model), *path, *path}; });
}

Result<SeenModel> look_from_afar(const InspectOptions& options, Output& notes) {
  MissingModels missing(places_from_environment(), notes);
  auto look = missing.look(options.model.string());
  if (!look || !look->header) {
    return propagate(!look ? look.error() : look->header.error());
  }
  notes.write(fmt::format(
      "{} is not on this machine; its header was read from its server: {} of {}; `hypura pull {}` fetches it\n",
      printable(look->remote.name), format_bytes(look->header->fetched), format_bytes(look->remote.bytes()),
      printable(look->remote.name)));
  std::filesystem::path file = look->header->model.files.front().path;
  return SeenModel{std::move(look->header->model), std::move(file), folder_there_is(look->remote)};
}

}  // namespace

Result<int> inspect_command(const InspectOptions& options) {
  Output out(STDOUT_FILENO, "standard output");
  Output notes(STDERR_FILENO, "standard error");
  if (options.remote && !options.workers.empty()) {
    return fail(
        ErrorCode::kUsage,
        "workers compute for a model that is on this machine too, and {} is not: fetch it, or leave out --worker",
        options.model.string());
  }
  const auto seen = options.remote ? look_from_afar(options, notes) : open_here(options);
  if (!seen) {
    return propagate(seen.error());
  }
  const auto& [model, file, disk] = *seen;
  ProfileOptions where;
  where.path = disk;
  const std::optional<MachineProfile> machine = cached_profile(where);
  const auto plan = plan_model(model, engine_options(options, file), machine ? &*machine : nullptr);
  InspectView view{model};
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
