#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "bench/isolation/capabilities.h"
#include "bench/one_run.h"
#include "bench/report/plot.h"
#include "bench/report/report.h"
#include "bench/run/prediction.h"
#include "cli/bench/replay_report.h"
#include "cli/commands.h"
#include "cli/demo_model.h"
#include "cli/output.h"
#include "llama/open/trial_load.h"
#include "machine/memory.h"
#include "model/model.h"
#include "store/mirrors.h"
#include "support/executable_path.h"
#include "support/fail.h"
#include "support/write_file.h"

namespace hypura {

namespace {

constexpr double kProbeSeconds = 0.5;  // for each of the four patterns, before and after a run

// What the command needs besides its flags, found before the first run.
struct Preparation {
  BenchReport report;
  Capabilities capabilities;
  std::vector<std::filesystem::path> files;
  std::optional<std::filesystem::path> gnuplot;
};

// That a file can be written is found out before the hours of measuring, not after.
Status check_writable(const std::optional<std::filesystem::path>& path, const char* flag) {
  if (!path) {
    return {};
  }
  const bool existed = std::filesystem::exists(*path);
  const bool writable = std::ofstream(*path, std::ios::app).good();
  if (!existed) {
    std::error_code ignored;
    std::filesystem::remove(*path, ignored);
  }
  return writable ? Status{}
                  : fail(ErrorCode::kIo, "{} {}: the file cannot be written; check the folder and its permissions",
                         flag, path->string());
}

Status prepare_outputs(const BenchOptions& options, Preparation& preparation) {
  if (Status status = check_writable(options.json, "--json"); !status) {
    return status;
  }
  if (!options.plot) {
    return {};
  }
  auto gnuplot = find_gnuplot();
  if (!gnuplot) {
    return propagate(gnuplot.error());
  }
  preparation.gnuplot = std::move(*gnuplot);
  return check_writable(options.plot, "--plot");
}

// The mirrors' files too. What is wrong with one shows here, not in the first run.
Status prepare_mirrors(const BenchOptions& options, const Model& model, std::vector<std::filesystem::path>& files) {
  EngineOptions engine;
  engine.mirrors = options.mirrors;
  const auto mirrors = mirrors_of(model, engine);
  if (!mirrors) {
    return propagate(mirrors.error());
  }
  for (const Mirror& mirror : *mirrors) {
    std::copy_if(mirror.begin(), mirror.end(), std::back_inserter(files),
                 [](const auto& file) { return !file.empty(); });
  }
  return {};
}

// The draft model's files are read as well, so that they are not to be found in memory either.
Status prepare_draft(const DraftOptions& draft, std::vector<std::filesystem::path>& files) {
  if (draft.model.empty()) {
    return {};
  }
  const auto model = open_and_try(draft.model);
  if (!model) {
    return propagate(model.error(), "--draft");
  }
  for (const ModelFile& file : model->files) {
    files.push_back(file.path);
  }
  return {};
}

Status prepare_model(Preparation& preparation) {
  BenchOptions& options = preparation.report.options;
  auto path = model_or_demo(options.model);
  if (!path) {
    return propagate(path.error());
  }
  options.model = std::move(*path);
  const auto model = open_and_try(options.model);
  if (!model) {
    return propagate(model.error());
  }
  for (const ModelFile& file : model->files) {
    preparation.files.push_back(file.path);
  }
  Status status = prepare_mirrors(options, *model, preparation.files).and_then([&] {
    return prepare_draft(options.draft, preparation.files);
  });
  if (!status) {
    return status;
  }
  preparation.report.model_name = model->name;
  preparation.report.model_bytes = model->bytes;
  return {};
}

// The limits, and what cannot be controlled.
Status prepare_machine(Preparation& preparation) {
  BenchReport& report = preparation.report;
  report.machine = read_machine_facts();
  preparation.capabilities = find_capabilities(preparation.files.front());
  const auto memory = read_memory_limits();
  if (!memory) {
    return propagate(memory.error());
  }
  auto limits = choose_limits(report.options, preparation.capabilities, report.model_bytes, memory->allowed());
  if (!limits) {
    return propagate(limits.error());
  }
  report.limits = std::move(*limits);
  report.uncontrolled = uncontrolled(report.options, preparation.capabilities, report.limits);
  if (report.machine.load_average > 0.25 * report.machine.cores) {
    report.uncontrolled.push_back(
        fmt::format("the machine was busy (load average {:.2f} on {} cores): trust the ratios "
                    "at most",
                    report.machine.load_average, report.machine.cores));
  }
  const auto probed = probe_disk(preparation.files.front(), usual_patterns(), 0.01);
  report.no_bound = probed ? "" : probed.error().message;
  return {};
}

RunSpec hypura_spec(const BenchReport& report) {
  const BenchOptions& options = report.options;
  RunSpec spec;
  spec.engine = "hypura";
  spec.model = options.model.string();
  spec.memory = options.memory.value_or(0);
  spec.gpu = options.gpu;
  spec.vram = options.vram.value_or(0);
  spec.vram_each = options.vram_each;
  spec.mixed_compute = options.mixed_compute;
  spec.repack = report.limits.repack;
  spec.threads = options.threads;
  spec.context = options.context;
  spec.prompt_tokens = options.prompt_tokens;
  spec.warmup_tokens = kBenchWarmupTokens;
  spec.tokens = options.tokens;
  spec.draft = options.draft.model.string();
  spec.draft_ngrams = options.draft.ngrams;
  spec.draft_mtp = options.draft.mtp;
  spec.draft_tokens = options.draft.tokens;
  for (const std::filesystem::path& mirror : options.mirrors) {
    spec.mirrors.push_back(mirror.string());
  }
  spec.workers = options.workers;
  spec.split = to_string(options.split);
  spec.trust_network = options.trust_network;
  spec.predict = true;
  return spec;
}

// How plain llama.cpp uses the GPU that the plan does.
Status prepare_baseline(BenchReport& report) {
  if (!report.options.baseline) {
    return {};
  }
  return executable_path()
      .and_then([&](const std::filesystem::path& program) { return splits_in_child(program, hypura_spec(report)); })
      .map([&](PlainSplits splits) { report.plain_splits = std::move(splits); });
}

Result<Preparation> prepare(const BenchOptions& options) {
  Preparation preparation;
  BenchOptions& used = preparation.report.options;
  used = options;
  used.context = bench_context(options);
  used.threads = options.threads > 0 ? options.threads : usable_cores();
  const Status status = lock_machine()
                            .and_then([&] { return prepare_outputs(options, preparation); })
                            .and_then([&] { return prepare_model(preparation); })
                            .and_then([&] { return prepare_machine(preparation); })
                            .and_then([&] { return prepare_predictions(used.model); })
                            .and_then([&] { return prepare_baseline(preparation.report); });
  if (!status) {
    return propagate(status.error());
  }
  return preparation;
}

std::vector<Arm> arms_of(const BenchReport& report, const Readahead* readahead) {
  RunSpec spec = hypura_spec(report);
  const PlainSplits& splits = report.plain_splits;
  spec.watched_gpu = splits.own_memory ? splits.gpu : "";
  std::vector<Arm> arms = {{"hypura", spec}};
  if (report.options.baseline) {
    for (Arm& arm : plain_arms(spec, readahead, splits)) {
      arms.push_back(std::move(arm));
    }
  }
  return arms;
}

// A run of hypura's that fails ends everything; of the baseline it is a result.
Status check_run(const Arm& arm, const RunResult& run) {
  if (arm.plain() || run.error.empty()) {
    return {};
  }
  const auto code = run.error_code == 0 ? ErrorCode::kInternal : static_cast<ErrorCode>(run.error_code);
  return fail(code, "{}", run.error);
}

Result<Rounds> measure_all(const Preparation& preparation, Output& notes) {
  const BenchReport& report = preparation.report;
  RoundsOptions options;
  auto program = executable_path();
  if (!program) {
    return propagate(program.error());
  }
  options.program = std::move(*program);
  options.files = preparation.files;
  options.limit = report.limits.cgroup;
  options.touch_bytes = options.limit > 0 ? options.limit : report.model_bytes;
  options.empty = preparation.capabilities.drop_file_cache ? CacheEmptying::kModel : CacheEmptying::kNone;
  options.repeat = report.options.repeat;
  options.probe_seconds = report.no_bound.empty() ? kProbeSeconds : 0;
  options.check = check_run;
  options.tell = [&](uint32_t round, const std::string& text) {
    notes.write(fmt::format("{}/{}  {}\n", round + 1, report.options.repeat, text));
  };
  std::optional<Readahead> readahead;
  if (report.options.baseline && preparation.capabilities.readahead) {
    auto found = Readahead::of(preparation.files.front());
    if (!found) {
      return propagate(found.error());
    }
    readahead.emplace(std::move(*found));
    options.readahead = &*readahead;
  }
  return run_rounds(options, arms_of(report, options.readahead));
}

Status write_outputs(const Preparation& preparation) {
  const BenchReport& report = preparation.report;
  Output out(STDOUT_FILENO, "standard output");
  out.write(bench_table(report));
  if (!out.status()) {
    return out.status();
  }
  if (report.options.json) {
    if (Status status = write_file(*report.options.json, bench_json(report)); !status) {
      return status;
    }
  }
  if (!report.options.plot) {
    return {};
  }
  return draw_plot(*preparation.gnuplot, plot_script(report, *report.options.plot), *report.options.plot);
}

}  // namespace

Result<int> bench_command(const BenchOptions& options) {
  if (options.replay) {
    return replay_command({*options.replay, options.slots, options.json});
  }
  Output notes(STDERR_FILENO, "standard error");
  catch_stop_signals();
  auto preparation = prepare(options);
  if (!preparation) {
    return propagate(preparation.error());
  }
  auto rounds = measure_all(*preparation, notes);
  if (!rounds) {
    return propagate(rounds.error());
  }
  preparation->report.rounds = std::move(*rounds);
  preparation->report.figures = bench_figures(preparation->report.rounds);
  if (Status status = write_outputs(*preparation); !status) {
    return propagate(status.error());
  }
  const auto& arms = preparation->report.figures.arms;
  const bool all_good =
      std::all_of(arms.begin(), arms.end(), [](const ArmFigures& arm) { return arm.failures.empty(); });
  return all_good ? 0 : static_cast<int>(ErrorCode::kInternal);
}

}  // namespace hypura
