#include <algorithm>
#include <utility>

#include "draft/drafting.h"
#include "history/model_fingerprint.h"
#include "history/saved_routing.h"
#include "llama/llama_guard.h"
#include "llama/open/mtp_layers.h"
#include "llama/open/trial_load.h"
#include "load/open_model.h"
#include "load/split_choice.h"
#include "load/workers.h"
#include "machine/memory.h"
#include "placement/gpu_devices.h"
#include "placement/gpu_placement.h"
#include "plan/context_choice.h"
#include "plan/gpu_layers.h"
#include "plan/gpu_words.h"
#include "plan/worker_plans.h"
#include "store/mirrors.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

// Tokens whose routing is kept on request: those of a default context. 24 layers of 8 experts used take 1.5 MiB.
constexpr uint64_t kRecordedTokens = 4096;

// Of the budget of a GPU's memory, what is left for another try when it turned out to hold less than was planned.
constexpr double kLessVram = 0.9;
constexpr int kMostTriesOfGpu = 4;
constexpr uint32_t kFewerLayers = 10;  // of its layers, one in so many less

// Takes out of `problem` what `placement` does and cannot be: the mode; of a GPU first some of its memory, of which it
// has less than it says, then its part in it.
void take_out(const Placement& placement, int tries, PlacementProblem& problem) {
  if (!placement.gpu) {
    std::erase(problem.modes, placement.mode());
    return;
  }
  if (tries < kMostTriesOfGpu) {
    for (GpuPart& device : problem.gpu->devices) {
      device.budget = static_cast<uint64_t>(kLessVram * static_cast<double>(device.budget));
    }
    if (problem.gpu->may_leave_layers && !place_on_gpu(problem)) {
      divide_layers(problem);
    }
  } else {
    problem.modes = problem.gpu->required && !problem.gpu->or_processors ? std::vector<Mode>() : problem.modes;
    problem.gpu.reset();
  }
}

// The best that works by `problem`: what it says is best is tried, and the next best when llama.cpp takes more than it
// says. Fails with kBudget when nothing does.
Result<OpenModel> open_best_of(const OpenRequest& request, const std::shared_ptr<Budget>& budget,
                               PlacementProblem problem) {
  PlacementProblem all = problem;
  for (int tries_of_gpu = 1; !problem.modes.empty() || problem.gpu;) {
    const auto placement = place(problem);
    if (!placement) {
      break;
    }
    const auto open = placement->mode() == Mode::kResident ? open_resident : open_streaming;
    auto model = open(request, budget, only_as(*placement, problem), *placement);
    if (model && !placement->gpu) {
      model->problem.gpu = std::move(all.gpu);  // for the plan, which says why it computes nothing
    }
    if (model || model.error().code != ErrorCode::kBudget) {
      return model;
    }
    logger().debug("{}", model.error().message);
    take_out(*placement, tries_of_gpu, problem);
    tries_of_gpu += placement->gpu ? 1 : 0;
    if (all.gpu && !problem.gpu && !problem.modes.empty()) {
      all.gpu->obstacle = "its memory did not hold what llama.cpp wanted to put there";
    }
  }
  return too_small(request, all);
}

// By estimates; and where nothing fits by those, by what the smallest contexts really take: less now and then, and else
// what the advice is made of.
Result<OpenModel> open_by(const OpenRequest& request, const std::shared_ptr<Budget>& budget, PlacementProblem problem) {
  if (request.options.record_routing) {
    if (problem.expert_slots() == 0) {
      return fail(ErrorCode::kUsage, "{} has no experts, so there is no routing to record: leave out the trace",
                  request.model.name);
    }
    std::erase(problem.modes, Mode::kResident);  // routing is seen where experts are streamed
  }
  auto model = open_best_of(request, budget, problem);
  const bool too_little = !model && model.error().code == ErrorCode::kBudget;
  return too_little ? open_best_of(request, budget, with_real_sizes(request, problem)) : std::move(model);
}

// Only on the GPU, as it is.
PlacementProblem whole_on_gpu(PlacementProblem problem) {
  problem.modes.clear();
  problem.gpu->required = true;
  problem.gpu->or_processors = false;
  return problem;
}

// By GPU: less than it had, and any number where it had none; in the end none.
std::vector<uint32_t> fewer_layers(std::vector<uint32_t> layers, int tries) {
  for (uint32_t& it : layers) {
    const uint32_t fewer = it == 0 ? UINT32_MAX : it - std::max(1U, it / kFewerLayers);
    it = tries < kMostTriesOfGpu ? fewer : 0;
  }
  return layers;
}

// What the plan puts on GPUs of a dense model, and less where that does not hold it: all, some layers, none.
Result<OpenModel> open_best(OpenRequest& request, const std::shared_ptr<Budget>& budget) {
  std::optional<std::vector<uint32_t>> most;
  for (int tries = 1;; ++tries) {
    auto problem = planned_problem(request, most);
    if (!problem) {
      return propagate(problem.error());
    }
    const auto placement = place(*problem);
    if (Status status = placement ? check_mixed(request, *problem, *placement) : Status(); !status) {
      return propagate(status.error());
    }
    const bool whole = placement && placement->gpu && may_divide(request, *problem);
    if (!whole && !request.planned_layers) {
      return open_by(request, budget, std::move(*problem));
    }
    auto model = open_best_of(request, budget, whole ? whole_on_gpu(*problem) : *problem);
    if (model || model.error().code != ErrorCode::kBudget) {
      return model;
    }
    logger().debug("{}", model.error().message);
    most = fewer_layers(whole ? placement->gpu->device_layers : request.layers_of_devices(), tries);
  }
}

// With fewer cells and less context than were chosen by estimates, where llama.cpp takes more than those.
Result<OpenModel> open_in_budget(OpenRequest& request, const std::shared_ptr<Budget>& budget) {
  while (true) {
    auto model = open_best(request, budget);
    const bool too_much = !model && model.error().code == ErrorCode::kBudget;
    if (too_much && request.pool > request.context) {
      request.pool = std::max(request.pool / 2, request.context);
    } else if (too_much && request.options.context == 0 && request.context > kLeastContext) {
      request.context = std::max(request.context / 2, kLeastContext);
      request.pool = request.context;
    } else {
      return model;
    }
    request.context_remark = context_sentence(request, "more does not fit the budget");
  }
}

// The cache of experts learns what earlier runs chose; what this one chooses is recorded. Not where workers have
// layers: what is known is of all.
void follow_routing(const OpenRequest& request, StreamedWeights& weights) {
  const EngineOptions& options = request.options;
  if (request.gpu.has_workers()) {
    return;
  }
  if (options.run_history && request.overrides.warm_start && request.history.routing) {
    weights.recall(*request.history.routing);
  }
  if (options.record_routing || options.run_history) {
    weights.record_routing(options.record_routing ? kRecordedTokens : kMostSavedTokens, options.record_routing);
  }
}

// `fingerprint`: of the model's file, for workers.
Result<OpenModel> open_requested(OpenRequest request, uint64_t fingerprint) {
  const auto budget = std::make_shared<Budget>(request.budget + kProcessOverhead, request.gpu.vram());
  auto draft = open_draft_model(request, *budget);
  if (!draft) {
    return propagate(draft.error());
  }
  const DraftOptions& drafts = request.options.draft;
  if (drafts.ngrams || drafts.mtp || draft->drafter != nullptr) {
    request.most_outputs = std::max(request.most_outputs, request.sequences + kMostDrafted);
  }
  KeptMemory kept = reserve_kept_memory(request, *budget);
  leave_out_workers(request);
  auto model = open_in_budget(request, budget);
  if (!model) {
    return model;
  }
  model->context_size = request.context;
  model->answers = request.sequences;
  model->outputs = request.most_outputs;
  OpenFacts facts;
  facts.reader = model->reader != nullptr ? model->reader->description() : "";
  facts.draft = {draft->reserved.bytes(), draft->on_device.bytes()};
  facts.draft_device = draft->device;
  facts.draft_remark = draft->left_out.empty() ? draft->not_there : draft->left_out;
  facts.mtp_bytes = model->mtp_bytes;
  facts.kept_bytes = kept.reserved.bytes();
  facts.kept_left_out = kept.left_out;
  if (Status status = join_workers(request, fingerprint, *model); !status) {
    return propagate(status.error());
  }
  model->plan = make_plan(request, model->problem, std::move(model->plan.placement));
  add_opened(request, facts, model->plan);
  model->draft = std::move(*draft);
  model->kept_memory = std::move(kept);
  const MachineProfile* profile = request.history.profile;
  const std::string way = calibration_key(request, model->plan.placement);
  model->conditions = {request.options.model, profile != nullptr ? profile->measured_at : "",
                       way + workers_key(model->problem), way,
                       model->problem.workers.empty() && !request.gpu.has_workers()};
  if (model->weights != nullptr) {
    follow_routing(request, *model->weights);
  }
  return model;
}

static_assert(kMostDraftTokens == kMostDrafted);

Status check_drafts(const DraftOptions& draft, const Model& model) {
  if (draft.tokens > kMostDraftTokens) {
    return fail(ErrorCode::kUsage, "drafts have at most {} tokens, and --draft-tokens is {}", kMostDraftTokens,
                draft.tokens);
  }
  if (draft.tokens > 0 && !draft.any()) {
    return fail(ErrorCode::kUsage,
                "--draft-tokens says how long drafts are, and nothing drafts: add --draft, --draft-ngrams or "
                "--draft-mtp");
  }
  return draft.mtp ? check_mtp(model) : Status();
}

}  // namespace

Result<OpenModel> load_model(const EngineOptions& options, const PlanOverrides& overrides) {
  if (Status status = init_llama(); !status) {
    return propagate(status.error());
  }
  auto file = open_model(options.model);
  if (!file) {
    return propagate(file.error());
  }
  if (Status status = check_drafts(options.draft, *file); !status) {
    return propagate(status.error());
  }
  auto gpu = choose_gpu(options, overrides);
  if (!gpu) {
    return propagate(gpu.error());
  }
  if (Status status = check_workers(options, *gpu, *file); !status) {
    return propagate(status.error());
  }
  const auto budget =
      choose_budget(options).and_then([&](const BudgetChoice& most) { return beside_gpu(options, *gpu, most); });
  if (!budget) {
    return propagate(budget.error());
  }
  ProfileOptions of_this_disk;
  of_this_disk.path = options.model;
  auto mirrors = mirrors_of(*file, options);
  if (!mirrors) {
    return propagate(mirrors.error());
  }
  const auto profile = with_mirrors(cached_profile(of_this_disk), *file, *mirrors);
  const uint64_t fingerprint = options.workers.empty() ? 0 : model_fingerprint(*file);
  auto used = std::make_unique<const Model>(used_part(*file, options.draft.mtp));
  TrialOptions trial;
  trial.mtp = options.draft.mtp;
  if (Status status = try_model(*used, trial); !status) {
    return propagate(status.error());
  }
  const RunHistory history = load_history(*used, profile ? &*profile : nullptr);
  LayersWorkers workers;
  auto model = guarded(ErrorCode::kBadModel, options.model.string(), [&]() -> Result<OpenModel> {
    OpenRequest request = begin_request(options, *used, *budget, history, overrides, *gpu);
    if (Status status = look_for_workers(request, fingerprint); !status) {
      return propagate(status.error());
    }
    auto divided = divide_model(request, fingerprint);
    if (!divided) {
      return propagate(divided.error());
    }
    workers = std::move(*divided);
    choose_contexts(request);
    request.process_memory = read_process_memory().resident;
    request.mirrors = std::move(*mirrors);
    return open_requested(std::move(request), fingerprint);
  });
  if (!model) {
    return model;
  }
  model->file = std::move(used);
  model->layers_workers = std::move(workers);
  return model;
}

}  // namespace hypura
