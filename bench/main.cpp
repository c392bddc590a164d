// hypura-bench: streaming against plain llama.cpp with mapped weights, see docs/lab/method.md.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string_view>

#include "bench/run/child.h"
#include "bench/run/prediction.h"
#include "bench/scenarios/report.h"
#include "machine/memory.h"
#include "support/fail.h"
#include "support/write_file.h"

namespace hypura::bench {
namespace {

struct CommandLine {
  BenchOptions options;
  std::vector<std::string> scenarios;
  std::string json;
  std::string markdown;
  bool quick = false;
};

void add_options(CLI::App& app, CommandLine& line) {
  Models& models = line.options.models;
  app.add_option("--moe", models.moe, "Mixture-of-experts model to measure")->check(CLI::ExistingFile);
  app.add_option("--dense", models.dense, "Dense model to measure")->check(CLI::ExistingFile);
  app.add_option("--stories", models.stories, "Small real model, for predictions, sweeps and drafts")
      ->check(CLI::ExistingFile);
  app.add_option("--target", models.target, "Dense model to measure with drafts")->check(CLI::ExistingFile);
  app.add_option("--draft", models.draft, "Model that drafts for the target")->check(CLI::ExistingFile);
  app.add_option("--stories-draft", models.stories_draft, "Model that drafts for the stories model")
      ->check(CLI::ExistingFile);
  app.add_option(
      "--scenario", line.scenarios,
      "What to measure, may be repeated [all that the models allow, but ahead, repacked, predict, sweep, shape, "
      "table and draft-moe]");
  app.add_option("--repeat", line.options.repeat, "Rounds")->check(CLI::Range(1, 100))->capture_default_str();
  app.add_option("--tokens", line.options.tokens, "Tokens decoded and counted in a run")
      ->check(CLI::Range(1, 400))
      ->capture_default_str();
  app.add_option("--threads", line.options.threads, "Compute threads of both engines [as the engine chooses]")
      ->check(CLI::Range(1, 1024));
  app.add_option("--readahead", line.options.readahead_kib,
                 "KiB: measure plain llama.cpp with this readahead only, the disk's own or 128 [with both]");
  app.add_option("--json", line.json, "Also write every run and figure to this file");
  app.add_option("--markdown", line.markdown, "Write the tables to this file, not to standard output");
  app.add_flag("--quick", line.quick, "One round of 8 tokens and a short disk probe: to try, not to report");
  app.add_flag("--uncapped", line.options.uncapped, "Go on where no memory cgroup can be made");
}

void prepare(CommandLine& line) {
  if (line.quick) {
    line.options.repeat = 1;
    line.options.tokens = 8;
    line.options.probe_seconds = 0.3;
  }
}

Status check_abilities(const BenchOptions& options, const Capabilities& capabilities) {
  for (const std::string& remark : remarks_on(capabilities)) {
    fmt::print(stderr, "hypura-bench: {}\n", remark);
  }
  const bool needs_cap = std::any_of(options.scenarios.begin(), options.scenarios.end(),
                                     [](const Scenario& scenario) { return scenario.share > 0; });
  if (needs_cap && !capabilities.cgroups && !options.uncapped) {
    return fail(ErrorCode::kUsage,
                "no memory cgroup can be made; run as root, or with --uncapped to measure without limits");
  }
  return {};
}

Status write_report(const Report& report, const CommandLine& line) {
  const std::string markdown = markdown_report(report);
  if (line.markdown.empty()) {
    fmt::print("{}", markdown);
  } else if (Status status = write_file(line.markdown, markdown); !status) {
    return status;
  }
  return line.json.empty() ? Status{} : write_file(line.json, json_report(report));
}

// Runs everything; gives whether all runs succeeded.
Result<bool> run_all(CommandLine& line) {
  auto selected = select_scenarios(line.scenarios, line.options.models);
  if (!selected) {
    return propagate(selected.error());
  }
  line.options.scenarios = std::move(*selected);
  if (Status status = lock_machine(); !status) {
    return propagate(status.error());
  }
  Report report;
  report.machine = read_machine_facts();
  if (report.machine.load_average > 0.25 * report.machine.cores) {
    fmt::print(stderr, "hypura-bench: the machine is busy (load average {:.2f}): trust the ratios at most\n",
               report.machine.load_average);
  }
  report.capabilities = find_capabilities(line.options.models.of(line.options.scenarios.front().model));
  if (Status status = check_abilities(line.options, report.capabilities); !status) {
    return propagate(status.error());
  }
  std::map<ModelKind, ResidentSpeed> resident;
  bool all_good = true;
  for (const Scenario& scenario : line.options.scenarios) {
    if (scenario.asks_the_plan()) {
      if (Status status = prepare_predictions(line.options.models.of(scenario.model)); !status) {
        return propagate(status.error());
      }
    }
    auto runs = run_scenario(line.options, report.capabilities, scenario);
    if (!runs) {
      return propagate(runs.error());
    }
    if (scenario.kind == Kind::kResident) {
      resident[scenario.model] = resident_speed(*runs);
    }
    for (const ArmRuns& arm : runs->arms) {
      const bool may_fail = scenario.kind == Kind::kSweep && &arm != &hypura_arm(*runs);  // set by hand: may not fit
      all_good = all_good && (may_fail || good_runs(arm).size() == arm.runs.size());
    }
    report.evaluations.push_back(evaluate(std::move(*runs), resident[scenario.model], report.capabilities));
  }
  report.options = line.options;
  if (Status status = write_report(report, line); !status) {
    return propagate(status.error());
  }
  return all_good;
}

int report_error(const Error& error) {
  fmt::print(stderr, "hypura-bench: {}\n", error.message);
  return static_cast<int>(error.code);
}

}  // namespace
}  // namespace hypura::bench

int main(int argc, char** argv) {
  using namespace hypura::bench;
  if (argc == 3 && std::string_view(argv[1]) == hypura::kChildCommand) {
    return hypura::run_as_child(argv[2]);
  }
  CLI::App app("Measures streaming against plain llama.cpp with mapped weights.", "hypura-bench");
  CommandLine line;
  line.options.program = "/proc/self/exe";
  line.options.threads = hypura::usable_cores();
  add_options(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return report_error({hypura::ErrorCode::kUsage, error.what()});
  }
  prepare(line);
  hypura::catch_stop_signals();
  const auto all_good = run_all(line);
  if (!all_good) {
    return report_error(all_good.error());
  }
  return *all_good ? 0 : static_cast<int>(hypura::ErrorCode::kInternal);
}
