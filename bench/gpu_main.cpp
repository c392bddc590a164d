// hypura-gpu-bench: this engine against plain llama.cpp under one cap of VRAM, see bench/gpu.sh.
#include <CLI/CLI.hpp>

#include "bench/gpu/gpu_report.h"
#include "bench/isolation/capabilities.h"
#include "bench/one_run.h"
#include "bench/run/child.h"
#include "machine/memory.h"
#include "support/fail.h"
#include "support/write_file.h"

namespace hypura::bench {
namespace {

constexpr uint32_t kPrompt = 2048;
constexpr uint32_t kWarmUp = 16;

struct GpuCommandLine {
  std::string device = "CUDA0";
  std::vector<std::filesystem::path> models;
  std::vector<std::string> scenarios;
  uint32_t repeat = 3;
  uint32_t tokens = 96;
  uint32_t threads = usable_cores();
  uint32_t ubatch = 0;  // of this engine; 0: as planned
  bool own = false;     // of plain llama.cpp nothing but what has everything in VRAM
  std::string json;
};

RunSpec common_spec(const GpuCommandLine& line, const std::filesystem::path& model) {
  RunSpec spec;
  spec.model = model.string();
  spec.gpu = line.device;
  spec.threads = line.threads;
  spec.prompt_tokens = kPrompt;
  spec.warmup_tokens = kWarmUp;
  spec.tokens = line.tokens;
  spec.context = kPrompt + 2 * (kWarmUp + line.tokens);
  spec.warm_prompt = true;
  spec.teacher_forced = true;
  return spec;
}

RoundsOptions rounds_of(const GpuCommandLine& line, const std::string& name, const std::filesystem::path& model,
                        uint64_t ram) {
  RoundsOptions options;
  options.program = "/proc/self/exe";
  options.files = {model};
  options.limit = ram > 0 && find_capabilities(model).cgroups ? limit_of(ram) : 0;
  // Mapped weights that an earlier run left in memory would be at nobody's expense.
  options.empty = options.limit > 0 ? CacheEmptying::kModel : CacheEmptying::kNone;
  options.far_slower = options.limit > 0 ? 8 : 0;
  options.repeat = line.repeat;
  options.probe_seconds = 0;
  options.run_seconds = 150;
  options.tell = [name, repeat = line.repeat](uint32_t round, const std::string& text) {
    fmt::print(stderr, "{} {}/{}  {}\n", name, round + 1, repeat, text);
  };
  return options;
}

// What the caps are made from.
Status measure_all_in_vram(const GpuCommandLine& line, DividedModel& model) {
  GpuCommandLine once = line;
  once.repeat = 1;
  const auto rounds = run_rounds(rounds_of(once, model.path.filename().string(), model.path, 0),
                                 {all_in_vram(common_spec(line, model.path))});
  if (!rounds) {
    return propagate(rounds.error());
  }
  const RunResult& run = rounds->arms.front().runs.front();
  if (!run.error.empty()) {
    return fail(ErrorCode::kInternal, "{}: plain llama.cpp with everything on {}: {}", model.path.string(), line.device,
                run.error);
  }
  model.all_in_vram = run.device_bytes;
  return {};
}

bool is_asked_for(const GpuCommandLine& line, const GpuScenario& scenario, const DividedModel& model) {
  const auto& names = line.scenarios;
  return scenario.experts == model.experts &&
         (names.empty() || std::find(names.begin(), names.end(), scenario.name) != names.end());
}

// None where there is no cap to keep to, or they are not asked for.
Result<PlainSplits> splits_of(const GpuCommandLine& line, const GpuScenario& scenario, const DividedModel& model,
                              const RunSpec& common) {
  const bool capped = vram_cap(scenario, model) > 0 && !line.own;
  return capped ? splits_in_child("/proc/self/exe", own_spec(scenario, model, common)) : PlainSplits();
}

Status run_model(const GpuCommandLine& line, const std::filesystem::path& path, GpuReport& report) {
  auto model = divided_model(path);
  Status status = model ? measure_all_in_vram(line, *model) : propagate(model.error());
  if (!status) {
    return status;
  }
  for (const GpuScenario& scenario : gpu_scenarios()) {
    if (!is_asked_for(line, scenario, *model)) {
      continue;
    }
    const RunSpec common = common_spec(line, path);
    const auto splits = splits_of(line, scenario, *model, common);
    if (!splits) {
      return propagate(splits.error());
    }
    std::vector<Arm> arms = arms_of(scenario, *model, common, *splits);
    arms.back().spec.ubatch = line.ubatch;
    if (line.own) {
      const auto all = all_in_vram(common).title;
      const Arm ours = arms.back();
      std::erase_if(arms, [&](const Arm& it) { return it.title != all && it.title != ours.title; });
    }
    auto rounds = run_rounds(rounds_of(line, scenario.name, path, ram_budget(scenario, *model)), arms);
    if (!rounds) {
      return propagate(rounds.error());
    }
    report.scenarios.push_back({scenario, *model, std::move(rounds->arms)});
  }
  return {};
}

Status run_gpu_bench(const GpuCommandLine& line) {
  GpuReport report;
  report.device = line.device;
  report.machine = read_machine_facts();
  Status status = lock_machine();
  for (size_t i = 0; status && i < line.models.size(); ++i) {
    status = run_model(line, line.models[i], report);
  }
  if (status && !line.json.empty()) {
    status = write_file(line.json, gpu_json(report));
  }
  if (status) {
    fmt::print("{}", gpu_markdown(report));
  }
  return status;
}

}  // namespace
}  // namespace hypura::bench

int main(int argc, char** argv) {
  using namespace hypura::bench;
  std::vector<std::string> names;
  for (const GpuScenario& scenario : gpu_scenarios()) {
    names.push_back(scenario.name);
  }
  if (argc == 3 && std::string_view(argv[1]) == hypura::kChildCommand) {
    return hypura::run_as_child(argv[2]);
  }
  CLI::App app("Measures a GPU's tiers against plain llama.cpp under the same cap of VRAM.", "hypura-gpu-bench");
  GpuCommandLine line;
  app.add_option("models", line.models, "Models to measure, each of which fits the device's memory")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--device", line.device, "The GPU, by ggml's name")->capture_default_str();
  app.add_option("--scenario", line.scenarios, "What to measure, may be repeated [all that the models allow]")
      ->check(CLI::IsMember(names));
  app.add_option("--repeat", line.repeat, "Rounds")->check(CLI::Range(1, 100))->capture_default_str();
  app.add_option("--tokens", line.tokens, "Tokens decoded and counted in a run")
      ->check(CLI::Range(1, 400))
      ->capture_default_str();
  app.add_option("--threads", line.threads, "Compute threads of both engines [one a core]")->check(CLI::Range(1, 1024));
  app.add_option("--ubatch", line.ubatch, "Most tokens of a pass of this engine [as planned]")
      ->check(CLI::Range(1, 65536));
  app.add_flag("--own", line.own,
               "Leave out plain llama.cpp's splits: these runs and all in VRAM are enough to see a change");
  app.add_option("--json", line.json, "Also write every run and figure to this file");
  CLI11_PARSE(app, argc, argv);
  const hypura::Status status = run_gpu_bench(line);
  if (!status) {
    fmt::print(stderr, "hypura-gpu-bench: {}\n", status.error().message);
    return static_cast<int>(status.error().code);
  }
  return 0;
}
