#include "cli/open_model.h"

#include "cli/demo_model.h"
#include "cli/progress_bar.h"
#include "cli/statistics.h"
#include "cli/trace_file.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

Result<std::unique_ptr<Engine>> open_model(const RunOptions& options, Output& notes) {
  const bool quiet = options.stats == StatsFormat::kJson && !options.verbose;
  if (Status status = check_trace_path(options); !status) {
    return propagate(status.error());
  }
  auto model = model_or_demo(options.engine.model);
  if (!model) {
    return propagate(model.error());
  }
  EngineOptions engine_options = options.engine;
  engine_options.model = std::move(*model);
  if (options.engine.model.empty() && !quiet) {
    notes.write(fmt::format("demo model {}\n", engine_options.model.string()));
  }
  auto engine = [&] {
    ProgressBar bar(notes);
    if (!quiet) {
      engine_options.progress = [&bar](double share) { bar.show(share); };
    }
    return Engine::open(engine_options);
  }();
  if (!engine) {
    return engine;
  }
  if (!quiet) {
    const Plan& plan = (*engine)->plan();
    notes.write(fmt::format("{}; {}\n", plan.sentence, plan.why));
    if (!plan.kept_sentence.empty()) {
      notes.write(fmt::format("{}\n", plan.kept_sentence));
    }
    for (const std::string& warning : plan.warnings) {
      notes.write(fmt::format("warning: {}\n", warning));
    }
  }
  if (options.verbose) {
    notes.write(ledger_comparison((*engine)->plan(), (*engine)->ledger()));
  }
  return engine;
}

void close_model(Engine& engine) {
  if (Status saved = engine.close(); !saved) {
    logger().debug("the run history was not saved: {}", saved.error().message);
  }
}

}  // namespace hypura
