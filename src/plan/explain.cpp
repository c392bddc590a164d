#include "plan/explain.h"

#include <algorithm>

#include "machine/memory.h"
#include "placement/gpu_cost.h"
#include "placement/gpu_host.h"
#include "plan/gpu_layers_words.h"
#include "plan/gpu_problem.h"
#include "plan/gpu_words.h"
#include "plan/machine_speeds.h"
#include "plan/placed_tensors.h"
#include "plan/worker_plans.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// What a process grows by besides: pages of code, stacks and heap that loading and computing touch. Measured: 5.0
// to 7.1 MB at four budgets of the stories model (docs/lab/experiments.md, "How far the predictions are off").
constexpr uint64_t kProcessGrowth = 6 * kMiB;

std::string rate(double per_second) {
  return fmt::format("{:.{}f}", per_second, per_second >= 99.5 ? 0 : per_second >= 0.995 ? 1 : 2);
}

std::string percent(double share) {
  return fmt::format("{:.0f} %", share * 100);
}

// "a token reads 222.0 MiB from disk and finds 44 % of its experts in memory, by the prior"
std::string what_is_read(const Prediction& prediction) {
  std::string text =
      fmt::format("a token reads {} from disk", format_bytes(static_cast<uint64_t>(prediction.bytes_per_token)));
  if (prediction.hit_rate) {
    text += fmt::format(" and finds {} of its experts in memory, by {}", percent(*prediction.hit_rate),
                        prediction.hit_rate_source);
  }
  return text;
}

// "the KV cache is q8_0, which frees 300.0 MiB and makes tokens 8 % faster": said when it was the planner's doing.
std::string kv_remark(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const std::vector<KvChoice>& kv = placement.gpu ? problem.gpu->kv : problem.kv;
  if (request.options.kv_type != KvType::kAuto || kv.front().type != KvType::kF16 || kv.size() < 2) {
    return {};
  }
  if (placement.kv_type == KvType::kF16) {
    return fmt::format("; the KV cache stays f16: {} would free {}, which gains less than it costs",
                       to_string(kv.back().type), format_bytes(kv.front().bytes - kv.back().bytes));
  }
  PlacementProblem full = problem;
  full.kv.resize(1);
  if (full.gpu) {
    full.gpu->kv.resize(1);
  }
  const uint64_t saved = kv.front().bytes - problem.kv_choice(placement).bytes;
  std::string text =
      fmt::format("; the KV cache is {}, which frees {}", to_string(placement.kv_type), format_bytes(saved));
  if (const auto without = place(full)) {
    const double before = pass_cost(full, *without, 1).seconds;
    const double now = pass_cost(problem, placement, 1).seconds;
    text += fmt::format(" and makes tokens {} faster", percent(before / now - 1));
  }
  return text;
}

// The next size that format_bytes() shows as it is: who asks for what is shown must not get less.
uint64_t shown_and_no_less(uint64_t bytes) {
  for (const uint64_t unit : {kGiB, kMiB, kKiB}) {
    if (bytes >= unit) {
      const uint64_t tenths = (bytes * 10 + unit - 1) / unit;
      const uint64_t size = tenths * unit / 10;
      return size >= bytes ? size : (tenths + 1) * unit / 10;
    }
  }
  return bytes;
}

// Weights that stay in llama.cpp's own buffers, of a model that others are streamed of.
uint64_t resident_bytes(const PlacementProblem& problem, const Placement& placement) {
  uint64_t dense = placement.dense.streamed ? 0 : problem.dense_bytes();
  if (placement.gpu && placement.dense.streamed) {  // of the processors' layers alone
    dense = problem.dense_bytes() + host_weight_bytes(problem, true) - host_weight_bytes(problem, false);
  }
  return problem.fixed + dense + (placement.tables.streamed ? 0 : problem.tables.bytes);
}

uint64_t unstreamed_expert_bytes(const OpenRequest& request, const StreamLayout& layout) {
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : request.model.tensors) {
    if (tensor.role == TensorRole::kRoutedExpert && tensor.shape[2] > 1 && !layout.streams(tensor)) {
      bytes += tensor.extent.length;
    }
  }
  return bytes;
}

// "Name (5.3 GiB) in 1.9 GiB: ...": what is done.
std::string plan_sentence(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  if (placement.gpu) {
    return gpu_plan_sentence(request, problem, placement);
  }
  std::string text = problem.split
                         ? split_sentence(request, problem, placement)
                         : fmt::format("{} ({}) in {}{}: ", request.model.name, format_bytes(request.model.bytes),
                                       format_bytes(request.budget), request.budget_remark);
  if (placement.mode() == Mode::kResident) {
    return text + (problem.split ? "the rest fits into RAM" : "fits, all weights resident");
  }
  text += request.reads_repacked() ? "from its repacked copy, " : "";
  const uint64_t stays = resident_bytes(problem, placement) + placement.dense.pinned_bytes;
  text += fmt::format("{} resident", format_bytes(stays));
  if (placement.experts.streamed) {
    const uint32_t all = problem.expert_slots();
    text += fmt::format(", {} of {} experts cached ({} %)", placement.experts.slots, all,
                        placement.experts.slots * 100 / all);
  }
  if (placement.dense.ring_bytes > 0) {
    text += fmt::format(", {} streamed for every token through a ring of {}",
                        format_bytes(placement.dense.streamed_bytes), format_bytes(placement.dense.ring_bytes));
  }
  if (placement.tables.streamed) {
    text += fmt::format(", {} of tables read row by row", format_bytes(problem.tables.bytes));
  }
  if (const std::vector<std::string> names = worker_names(problem); !names.empty()) {
    text += fmt::format("; {} compute{} {} too", joined_names(names), names.size() == 1 ? "s" : "",
                        problem.experts.empty() ? "feed-forward parts" : "experts");
  }
  return text;
}

// Of the speeds that the prediction is made of.
std::string what_is_assumed(const OpenRequest& request, const Plan& plan) {
  const std::string on_cpu = MachineSpeeds(request.history.profile, request.threads).assumption();
  const std::string on_gpu = plan.device ? gpu_assumption(request) : "";
  if (!plan.device || !plan.device->layers) {
    return plan.device ? on_gpu : on_cpu;
  }
  return on_gpu + (on_gpu.empty() || on_cpu.empty() ? "" : " and") + on_cpu;
}

// What to expect of it, and what limits it.
std::string why_sentence(const OpenRequest& request, const PlacementProblem& problem, const Plan& plan) {
  const Prediction& prediction = plan.prediction;
  std::string text =
      fmt::format("expect {} tokens/s{}{}", rate(prediction.tokens_per_second),
                  prediction.calibration ? ", calibrated by earlier runs" : "", what_is_assumed(request, plan));
  if (!problem.workers.empty()) {
    text += fmt::format(", and {} without workers", rate(plan.alone_tokens_per_second));
  }
  if (problem.split) {
    text += ": " + split_token_sentence(request, problem, plan);
  } else if (plan.device) {
    text += ": " + gpu_token_sentence(plan);
  } else if (plan.mode() == Mode::kResident) {
    text += ", limited by compute";
  } else {
    const bool disk = prediction.bound_by == Limit::kDisk;
    text += fmt::format(": {}; the {} allows {} at most", what_is_read(prediction), disk ? "disk" : "processor",
                        rate(prediction.bound_tokens_per_second));
  }
  return text + kv_remark(request, problem, plan.placement) + why_no_gpu(request, problem, plan.placement) +
         left_out_sentence(plan.workers) + (request.split_remark.empty() ? "" : "; " + request.split_remark);
}

// What the user should know: a context that was asked for and lowered, more threads than processors, parts that are
// left out, a repacked copy that is not used, a cache that is too small, weights that cannot be streamed.
std::vector<std::string> plan_warnings(const OpenRequest& request, const PlacementProblem& problem,
                                       const Placement& placement) {
  std::vector<std::string> warnings;
  const bool asked = request.options.context != EngineOptions().context;
  if (asked && request.options.context > request.model.context_length) {
    warnings.push_back(fmt::format("context lowered from {} to the {} tokens that the model was trained for",
                                   request.options.context, request.model.context_length));
  }
  if (request.threads > usable_cores()) {
    warnings.push_back(fmt::format("{} threads are more than this machine's {} processors, which is slower",
                                   request.threads, usable_cores()));
  }
  if (!request.model.other_parts.empty()) {
    uint64_t bytes = 0;
    for (const TensorInfo& tensor : request.model.other_parts) {
      bytes += tensor.extent.length;
    }
    warnings.push_back(
        fmt::format("the model's image and audio parts ({}) are not loaded: it reads text only", format_bytes(bytes)));
  }
  if (!request.repacked.problem.empty()) {
    warnings.push_back(
        fmt::format("the repacked copy is not used: {}; run `hypura repack` again", request.repacked.problem));
  }
  const uint32_t kept = placement.experts.slots - placement.experts.spare_slots;
  if (placement.experts.streamed && kept < problem.slots_per_token()) {
    const uint64_t missing = (problem.slots_per_token() - kept) * problem.slot_stride;
    warnings.push_back(
        fmt::format("the expert cache keeps {} experts, fewer than the {} that one token uses: most are read again for "
                    "every token. {} more memory would hold a token's experts",
                    kept, problem.slots_per_token(), format_bytes(missing)));
  }
  if (std::string mixed = mixed_warning(problem, placement); !mixed.empty()) {
    warnings.push_back(std::move(mixed));
  }
  const bool for_experts = request.model.experts > 0 && !request.gpu.has_workers();
  if (!request.options.workers.empty() && for_experts && !placement.experts.streamed) {
    warnings.emplace_back("no experts are streamed, since the memory holds all of them: the workers are not asked");
  }
  if (request.gpu.has_workers() && !problem.split) {
    warnings.push_back(
        fmt::format("no layers are computed by {}: not even one fits into what workers give", request.gpu.name()));
  }
  if (const uint64_t bytes = unstreamed_expert_bytes(request, lay_out(request.model, true, true)); bytes > 0) {
    warnings.push_back(fmt::format("{} of expert weights are in a form that cannot be streamed, and stay in memory",
                                   format_bytes(bytes)));
  }
  return warnings;
}

}  // namespace

std::vector<LedgerLine> make_ledger(const PlacementProblem& problem, const Placement& placement) {
  if (placement.gpu) {
    return gpu_ledger(problem, placement);
  }
  const UbatchChoice& pass = problem.ubatch_choice(placement);
  const DensePlacement& dense = placement.dense;
  const ExpertPlacement& experts = placement.experts;
  std::vector<LedgerLine> ledger = split_ledger(problem, placement);
  if (placement.mode() == Mode::kResident) {
    ledger.push_back({Purpose::kWeights, resident_bytes(problem, placement) + problem.expert_bytes + problem.growth});
    if (problem.unused > 0) {
      ledger.push_back({Purpose::kUnusedWeights, problem.unused});
    }
  } else {
    ledger.push_back({Purpose::kResidentWeights, resident_bytes(problem, placement)});
    if (dense.streamed) {
      ledger.push_back({Purpose::kPinnedWeights, dense.pinned_bytes, "", dense.pinned_on});
      ledger.push_back({Purpose::kRing, dense.ring_bytes, "", dense.slots_on});
    }
    if (const uint64_t rows = table_buffer_bytes(problem, placement.mode(), placement.tables.streamed); rows > 0) {
      ledger.push_back({Purpose::kTableRows, rows});
    }
    if (experts.streamed) {
      ledger.push_back({Purpose::kExpertSlots, experts.slots * problem.slot_stride,
                        fmt::format(" ({} of {})", experts.slots, experts.all), experts.slots_on});
      ledger.push_back({Purpose::kExpertBuffers, pass.expert_bytes});
    }
    if (dense.streamed && pass.dense_bytes > 0) {
      ledger.push_back({Purpose::kRepackBuffer, pass.dense_bytes});
    }
    if (dense.streamed && problem.worker_bytes > 0) {
      ledger.push_back({Purpose::kWorkerMessages, problem.worker_bytes});
    }
  }
  const std::string type = placement.kv_type == KvType::kF16 ? "" : fmt::format(", {}", to_string(placement.kv_type));
  ledger.push_back({Purpose::kKvCache, problem.kv_choice(placement).bytes, type});
  ledger.push_back({Purpose::kComputeBuffers, pass.bytes});
  ledger.push_back({Purpose::kVocabulary, problem.other});
  return ledger;
}

std::string ledger_text(const std::vector<LedgerLine>& ledger) {
  std::string text;
  for (const LedgerLine& line : ledger) {
    text += fmt::format("\n  {:>10}  {}", format_bytes(line.bytes), to_string(line));
  }
  return text;
}

namespace {

// Seconds of a token that no engine can save: puts in what sets them.
double add_bound(const PlacementProblem& problem, const Placement& placement, const PassCost& token,
                 Prediction& prediction) {
  const double dense_read = std::min(static_cast<double>(placement.dense.streamed_bytes), token.bytes);
  const double dense_rate = std::max(problem.dense_disk.bytes_per_second, problem.best_dense_bytes_per_second);
  const double expert_rate = std::max(problem.expert_disk.bytes_per_second, problem.best_expert_bytes_per_second);
  const double disk = dense_read / dense_rate + (token.bytes - dense_read) / expert_rate;
  double compute = placement.gpu ? gpu_resident_computing(problem, placement.ubatch, 1)
                                 : (resident_computing(problem, 1) - token.elsewhere) * problem.computing_lasts;
  if (placement.gpu && placement.gpu->mixed) {
    compute = std::max(token.compute, token.processors);
  }
  prediction.bound_by = disk > compute ? Limit::kDisk : Limit::kCompute;
  if (token.uploading > std::max(disk, compute)) {
    prediction.bound_by = Limit::kUpload;
  }
  return std::max({disk, compute, token.uploading});
}

}  // namespace

Prediction predict(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const PassCost token = pass_cost(problem, placement, 1);
  Prediction prediction;
  const CalibrationFactors& factors = request.history.calibration;
  if (const auto known = factors.find(calibration_key(request, placement) + workers_key(problem));
      known != factors.end()) {
    prediction.calibration = known->second;
  }
  prediction.decode_seconds = token.seconds * prediction.calibration.value_or(1);
  prediction.tokens_per_second = 1 / prediction.decode_seconds;
  const uint32_t more = request.context - std::min(request.options.predicted_at, request.context);
  const double at_the_end = pass_cost(problem_after(problem, more), placement, 1).seconds;
  prediction.full_context_tokens_per_second = 1 / (at_the_end * prediction.calibration.value_or(1));
  prediction.bytes_per_token = token.bytes;
  if (placement.experts.streamed) {
    prediction.hit_rate = 1 - token.misses / token.uses;
    prediction.hit_rate_source = request.history.hit_curve.empty() ? "the prior" : request.history.hit_source;
  }
  prediction.prefill512_seconds = prompt_seconds(problem, placement, 512, true);
  prediction.prefill4096_seconds = prompt_seconds(problem, placement, 4096, true);

  const double least = add_bound(problem, placement, token, prediction);
  // Earlier runs that were faster than that show that it was estimated too high.
  prediction.bound_tokens_per_second =
      1 / (prediction.calibration ? std::min(least, prediction.decode_seconds) : least);

  const MachineSpeeds speeds(request.history.profile, request.threads);
  uint64_t loaded = resident_bytes(problem, placement) + placement.dense.pinned_bytes;
  loaded += problem.split && !problem.split->remote ? problem.split->weights() : 0;
  loaded += placement.experts.streamed ? 0 : problem.expert_bytes;
  prediction.load_seconds = static_cast<double>(loaded) / speeds.load_bytes_per_second();
  prediction.first_token_seconds = prediction.load_seconds + prediction.prefill512_seconds;
  prediction.memory_peak = request.process_memory + kProcessGrowth + total_bytes(problem, placement);
  if (placement.gpu && request.gpu.on_ram) {
    prediction.memory_peak += gpu_device_bytes(problem, placement);
  }
  if (problem.split && request.gpu.on_ram) {
    prediction.memory_peak +=
        split_device_bytes(problem, problem.kv_choice(placement), problem.ubatch_choice(placement));
  }
  return prediction;
}

namespace {

// Tokens a second without the workers that compute whole layers; 0 where the model does not fit so.
double alone_speed(OpenRequest request) {
  request.gpu = {};
  request.planned_layers.reset();
  const auto problem = placement_problem(request);
  const auto placement = problem ? place(*problem) : Result<Placement>(propagate(problem.error()));
  return placement ? predict(request, *problem, *placement).tokens_per_second : 0;
}

}  // namespace

Plan make_plan(const OpenRequest& request, const PlacementProblem& problem, Placement placement) {
  Plan plan;
  plan.placement = std::move(placement);
  plan.budget = request.budget;
  plan.process_overhead = kProcessOverhead;
  plan.context = request.context;
  plan.cells = request.cells();
  plan.pinned_bytes = plan.placement.dense.streamed ? plan.placement.dense.pinned_bytes : problem.dense_bytes();
  if (plan.placement.gpu) {
    plan.device = device_plan(request, problem, plan.placement);
    plan.pinned_bytes = problem.dense_bytes() - plan.placement.dense.streamed_bytes;
  }
  if (problem.split && !problem.split->remote) {
    plan.device = split_device_plan(request, problem, plan.placement);
  }
  plan.ledger = make_ledger(problem, plan.placement);
  plan.tensors = placed_tensors(request.model, request.layout(true, true, false, plan.placement.tables.streamed),
                                plan.placement, request.gpu_layers());
  plan.layers = layer_shares(plan.tensors);
  plan.prediction = predict(request, problem, plan.placement);
  if (!request.workers.empty()) {
    PlacementProblem alone = problem;
    alone.workers.clear();
    plan.alone_tokens_per_second = predict(request, alone, plan.placement).tokens_per_second;
    plan.workers = worker_plans(request, problem, plan.placement, plan.prediction.calibration.value_or(1));
  }
  if (request.gpu.has_workers()) {
    plan.alone_tokens_per_second = alone_speed(request);
    plan.workers = split_worker_plans(request, problem);
    for (WorkerPlan& it : plan.workers) {
      it.with_tokens_per_second = plan.prediction.tokens_per_second;
      it.without_tokens_per_second = plan.alone_tokens_per_second;
    }
  }
  plan.sentence = plan_sentence(request, problem, plan.placement);
  plan.why = why_sentence(request, problem, plan);
  plan.context_sentence = request.context_remark;
  plan.warnings = plan_warnings(request, problem, plan.placement);
  return plan;
}

namespace {

void add_draft(const OpenRequest& request, const OpenFacts& facts, Plan& plan) {
  const DraftBytes& bytes = facts.draft;
  plan.budget += bytes.in_ram;
  plan.ledger.push_back({Purpose::kDraftModel, bytes.in_ram});
  if (facts.draft_device.empty()) {
    const bool beside = plan.device && !request.gpu.on_ram && !request.gpu.computes_in_ram();
    plan.sentence += fmt::format("; {} more for the draft model{}", format_bytes(bytes.in_ram),
                                 beside ? ", in RAM, which the processors compute" : "");
    return;
  }
  plan.ledger.push_back({Purpose::kDraftModel, bytes.on_device, "", Tier::kDevice});
  if (plan.device) {
    plan.device->budget += bytes.on_device;
    const auto its = std::ranges::find(plan.device->shares, facts.draft_device, &DeviceShare::name);
    if (its != plan.device->shares.end()) {
      its->budget += bytes.on_device;
      its->bytes += bytes.on_device;
    }
  }
  plan.sentence += fmt::format("; the draft model takes {} more on {}, which computes it, and {} more of RAM",
                               format_bytes(bytes.on_device), facts.draft_device, format_bytes(bytes.in_ram));
}

}  // namespace

void add_opened(const OpenRequest& request, const OpenFacts& facts, Plan& plan) {
  const EngineOptions& options = request.options;
  if (!facts.reader.empty()) {
    plan.sentence += fmt::format("; reads by {}", facts.reader);
  }
  if (!facts.reader.empty() && !options.mirrors.empty()) {
    plan.copies.push_back(options.model.string());
    for (const std::filesystem::path& mirror : options.mirrors) {
      plan.copies.push_back(mirror.string());
    }
    plan.sentence += fmt::format(", from {} copies", plan.copies.size());
  }
  if (facts.draft.in_ram > 0) {
    add_draft(request, facts, plan);
  }
  if (facts.mtp_bytes > 0) {
    plan.sentence += fmt::format("; drafts by its MTP layers, whose context takes {}", format_bytes(facts.mtp_bytes));
  }
  if (facts.kept_bytes > 0) {
    plan.budget += facts.kept_bytes;
    plan.prediction.memory_peak += facts.kept_bytes;
    plan.ledger.push_back({Purpose::kKvStore, facts.kept_bytes});
  }
  if (!facts.kept_left_out.empty()) {
    plan.warnings.push_back(facts.kept_left_out);
  }
  if (!facts.draft_remark.empty()) {
    plan.warnings.push_back(facts.draft_remark);
  }
  if (facts.reader.empty() && !options.mirrors.empty()) {
    plan.warnings.emplace_back("the whole model is in memory, loaded from its own files: the mirrors are not read");
  }
}

tl::unexpected<Error> too_small(const OpenRequest& request, const PlacementProblem& problem) {
  if (problem.gpu && problem.gpu->required && !problem.gpu->or_processors) {
    return gpu_too_small(request, problem);
  }
  const uint64_t least = shown_and_no_less(minimum_budget(problem));
  const auto by_kv = [](const KvChoice& a, const KvChoice& b) { return a.bytes < b.bytes; };
  const Mode mode = problem.modes.back();
  const auto besides = [mode](const UbatchChoice& it) {
    return it.bytes + (streams_experts(mode) ? it.expert_bytes : 0) + (streams_dense(mode) ? it.dense_bytes : 0);
  };
  const auto by_pass = [&](const UbatchChoice& a, const UbatchChoice& b) { return besides(a) < besides(b); };
  const UbatchChoice& pass = *std::min_element(problem.ubatch.begin(), problem.ubatch.end(), by_pass);
  const uint64_t runtime =
      problem.other + std::min_element(problem.kv.begin(), problem.kv.end(), by_kv)->bytes + besides(pass);
  return fail(ErrorCode::kBudget,
              "{} cannot run in {}: with {} tokens of context the smallest budget is about {}:\n  {:>10}  weights that "
              "must stay\n  {:>10}  KV cache, compute buffers, vocabulary\n  {:>10}  slots and ring for the rest",
              request.model.name, format_bytes(request.budget), request.context, format_bytes(least),
              format_bytes(problem.fixed), format_bytes(runtime),
              format_bytes(least - std::min(least, problem.fixed + runtime)));
}

}  // namespace hypura
